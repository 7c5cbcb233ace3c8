"""The smallest CIFAR ResNet, for CPUs."""

from robench.contracts import Encoder
from robench.tensors.resnet import CIFAR, BasicBlock, ResidualEncoder


class ResNet8(ResidualEncoder, Encoder):
    """One block in each of three stages of ``width``, 2x and 4x channels (He et al. 2016, 4.2).

    ``normalize``, ``stem`` and ``embedding`` as in `ResidualEncoder`.
    """

    block, depths = BasicBlock, (1, 1, 1)

    def __init__(
        self,
        width: int = 16,
        normalize: str | None = "half",
        stem: str = CIFAR,
        embedding: int = 0,
    ) -> None:
        super().__init__(width, normalize, stem, embedding)
