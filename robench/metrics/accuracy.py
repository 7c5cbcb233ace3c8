"""Robust accuracy."""

from robench.contracts import Outcome


def accuracy(outcome: Outcome) -> float:
    """The share of images classified correctly, both clean and attacked; nan without images."""
    return float(outcome.right.mean()) if len(outcome.right) else float("nan")
