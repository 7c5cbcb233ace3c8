"""Robust accuracy."""

from robench.contracts import Outcome


def accuracy(outcome: Outcome) -> float:
    """The share of images classified correctly after the attack; nan without images."""
    correct = outcome.prediction == outcome.label
    return float(correct.mean()) if len(correct) else float("nan")
