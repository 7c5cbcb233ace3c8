"""Accuracy before the attack."""

from robench.contracts import Outcome


def clean_accuracy(outcome: Outcome) -> float:
    """The share of images classified correctly before the attack; nan without images."""
    correct = outcome.clean_prediction == outcome.label
    return float(correct.mean()) if len(correct) else float("nan")
