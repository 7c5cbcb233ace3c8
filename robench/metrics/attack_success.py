"""The share of correctly classified images that the attack fools."""

from robench.contracts import Outcome


def attack_success(outcome: Outcome) -> float:
    """The share of correctly classified images that the attack flips; nan if there are none."""
    attacked = outcome.prediction[outcome.clean_prediction == outcome.label]
    labels = outcome.label[outcome.clean_prediction == outcome.label]
    return float((attacked != labels).mean()) if len(labels) else float("nan")
