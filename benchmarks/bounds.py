"""How often the interval of `autoattack(sample=N)` holds, on AutoAttack's stored outcomes.

``python benchmarks/bounds.py results/cifar-small --sample 100`` draws N of the images that
APGD-CE leaves standing, from each stored cell of AutoAttack, 10,000 times: the share of intervals
that hold the number of those which the rest of AutoAttack took, and their mean half width in
points. The same for an interval that is looked at after every image of the sample, beside the one
that is valid then.
"""

import argparse
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from robench.grid.records import Outcome
from robench.store.store import Store
from robench.trust.bounds import sampled_without_replacement, valid_at_any_time

LOOKED = 1000  # resamples that are looked at after every image


def outcomes(folder: Path) -> list[tuple[str, Outcome]]:
    """The stored outcomes of AutoAttack, by the names of their cells."""
    store = Store(folder, Path("zoo"), print)
    found = (one for one in store.results() if one.cell.evaluation.attack.name == "autoattack")
    return [
        (one.cell.key, one.outcome) for one in found if not one.cell.evaluation.attack.has("sample")
    ]


def coverage(
    fell: npt.NDArray[np.bool_], sample: int, resamples: int, generator: np.random.Generator
) -> tuple[float, float, float, float]:
    """Coverage and half width at the end, and coverage of all looks by both intervals.

    ``fell`` says of each image that the cheap attack left whether the rest took it.
    """
    total, among = len(fell), int(fell.sum())
    exact, always = cache(sampled_without_replacement), cache(valid_at_any_time)
    found = generator.hypergeometric(among, total - among, sample, resamples).tolist()
    ends = [exact(total, sample, k) for k in found]
    held = np.mean([low <= among <= high for low, high in ends])
    width = np.mean([high - low for low, high in ends]) / 2
    looks = np.zeros(2)
    for _ in range(LOOKED):
        counts = generator.permutation(fell)[:sample].cumsum().tolist()
        for at, interval in enumerate((exact, always)):
            limits = (interval(total, m, k) for m, k in enumerate(counts, 1))
            looks[at] += all(low <= among <= high for low, high in limits)
    return float(held), float(width), *(looks / LOOKED).tolist()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sample", type=int, default=500)
    parser.add_argument("--resamples", type=int, default=10_000)
    asked = parser.parse_args()
    generator = np.random.default_rng(0)
    print("left, taken by the rest: held at the end (± points); held at every look: exact, valid")
    for key, outcome in outcomes(asked.folder):
        left = (outcome.clean_prediction == outcome.label) & (outcome.fooled_by != 0)
        fell = outcome.fooled_by[left] > 0
        if asked.sample < len(fell):
            held, width, once, always = coverage(fell, asked.sample, asked.resamples, generator)
            points = 100 * width / len(outcome.label)
            print(
                f"{key}: {len(fell)}, {fell.sum()}: {held:.4f} (± {points:.2f}); "
                f"{once:.3f}, {always:.3f}"
            )


if __name__ == "__main__":
    main()
