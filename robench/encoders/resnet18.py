"""ResNet-18, the papers' encoder."""

from robench.contracts import Encoder
from robench.tensors.resnet import BasicBlock, ResidualEncoder


class ResNet18(ResidualEncoder, Encoder):
    """Two blocks in each of four stages; 512 features at the papers' width of 64.

    ``normalize``, ``stem`` and ``embedding`` as in `ResidualEncoder`.
    """

    block, depths = BasicBlock, (2, 2, 2, 2)
