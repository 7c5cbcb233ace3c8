"""ResNet-18 with the CIFAR stem, the papers' encoder."""

from typing import ClassVar, cast

from torch import Tensor

from robench.contracts import Encoder
from robench.tensors.resnet import CIFAR, BasicBlock, Normalise, residual_network


class ResNet18(Encoder):
    """Two blocks in each of four stages; 512 features at the papers' width of 64.

    ``mean`` and ``std`` normalise the pixels: one number, or three by channel, with commas between
    and in quotes. The defaults are those of CLAE's SimCLR
    (SimCLR/modules/transformations/simclr.py:11-26); RoCL's are 0 and 1
    (src/data_loader.py:17-23). The ``stem`` "imagenet" is torchvision's, 7x7 with max-pooling. With
    an ``embedding`` the features are so many outputs of a last linear layer, of length 1: what
    CLAE's Plain and UEL evaluate (Plain/models/resnet_cifar.py:154-155, eval.py:195-197).
    """

    later: ClassVar[tuple[str, ...]] = ("stem", "embedding")

    def __init__(
        self,
        width: int = 64,
        mean: float | str = 0.5,
        std: float | str = 0.5,
        stem: str = CIFAR,
        embedding: int = 0,
    ) -> None:
        super().__init__()
        self.normalise = Normalise(mean, std)
        self.network, self.width = residual_network(
            BasicBlock, [2, 2, 2, 2], width, stem, embedding
        )

    def forward(self, images: Tensor) -> Tensor:
        return cast(Tensor, self.network(self.normalise(images)))
