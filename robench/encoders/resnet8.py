"""The smallest CIFAR ResNet, for CPUs."""

from typing import cast

from torch import Tensor

from robench.contracts import Encoder
from robench.tensors.resnet import BasicBlock, Normalise, residual_network


class ResNet8(Encoder):
    """One block in each of three stages of ``width``, 2x and 4x channels (He et al. 2016, 4.2).

    ``mean`` and ``std`` normalise the pixels: one number, or three by channel, with commas between
    and in quotes. The defaults are those of CLAE's SimCLR
    (SimCLR/modules/transformations/simclr.py:11-26); RoCL's are 0 and 1
    (src/data_loader.py:17-23).
    """

    def __init__(self, width: int = 16, mean: float | str = 0.5, std: float | str = 0.5) -> None:
        super().__init__()
        if width < 1:
            raise ValueError(f"width={width} must be positive")
        self.normalise = Normalise(mean, std)
        self.network, self.width = residual_network(BasicBlock, [1, 1, 1], width)

    def forward(self, images: Tensor) -> Tensor:
        return cast(Tensor, self.network(self.normalise(images)))
