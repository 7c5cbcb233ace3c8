"""ResNet-34."""

from robench.contracts import Encoder
from robench.tensors.resnet import BasicBlock, ResidualEncoder


class ResNet34(ResidualEncoder, Encoder):
    """3, 4, 6 and 3 blocks in four stages; 512 features at the usual width of 64.

    ``normalize``, ``stem`` and ``embedding`` as in `ResidualEncoder`.
    """

    block, depths = BasicBlock, (3, 4, 6, 3)
