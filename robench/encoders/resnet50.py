"""ResNet-50."""

from robench.contracts import Encoder
from robench.tensors.resnet import Bottleneck, ResidualEncoder


class ResNet50(ResidualEncoder, Encoder):
    """Bottlenecks in four stages; 2,048 features at the papers' width of 64.

    ``normalize``, ``stem`` and ``embedding`` as in `ResidualEncoder`.
    """

    block, depths = Bottleneck, (3, 4, 6, 3)
