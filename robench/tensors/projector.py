"""The head that the contrastive loss looks through; it is thrown away after pretraining."""

from torch import nn


def projector(width: int, hidden: int, output: int) -> nn.Sequential:
    """Linear, ReLU, linear, from ``width`` features to ``output``; ``hidden`` 0 means ``width``.

    Raises ValueError for sizes that are not positive.
    """
    if hidden < 0 or output < 1:
        raise ValueError(f"a projector of hidden={hidden} and output={output} does not exist")
    middle = hidden or width
    return nn.Sequential(nn.Linear(width, middle), nn.ReLU(), nn.Linear(middle, output))


def linear_projector(width: int, hidden: int, output: int) -> nn.Module:
    """One linear layer, or with an ``output`` of 0 none: the encoder's own end is the embedding.

    CLAE's Plain and UEL branches (models/resnet_cifar.py:154). It has no ``hidden`` layer, which
    must be 0. Raises ValueError for another ``hidden``, and a negative ``output``.
    """
    if hidden != 0 or output < 0:
        raise ValueError(
            f"a linear projector of hidden={hidden} and output={output} does not exist; "
            "hidden should be 0, and output positive, or 0 for none"
        )
    return nn.Linear(width, output) if output else nn.Identity()
