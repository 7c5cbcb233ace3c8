"""A metric in one file."""

from robench.contracts import Outcome


def spread(outcome: Outcome) -> float:
    """The difference between the largest and the smallest perturbation."""
    return float(outcome.size.max() - outcome.size.min())
