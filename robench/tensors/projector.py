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
