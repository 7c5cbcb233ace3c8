"""Races on stored outcomes: how often they decide, how soon, and how often they are wrong.

``python benchmarks/race.py results/cifar-small`` takes every two stored cells of the same attack,
probe and data, in 1,000 orders of their images, a look after every batch of 50. Beside it stands
the share decided where there is no difference: each image's two answers swapped by a fair coin.
"""

import argparse
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt

from robench.grid.records import Result
from robench.store.store import Store
from robench.trust.betting import capital
from robench.trust.statistics import exact_mcnemar, on_same_images

LOOK, ORDERS = 50, 1000


def pairs(folder: Path) -> list[tuple[Result, Result]]:
    """Stored results of two methods under the same attack."""
    found = [r for r in Store(folder, Path("zoo"), print).results() if r.norm]

    def alike(one: Result) -> tuple[object, ...]:
        labels = one.labels
        return (
            labels.source,
            labels.target,
            labels.probe,
            labels.attack,
            one.norm,
            one.eps,
            one.seed,
        )

    return [(a, b) for a, b in combinations(found, 2) if alike(a) == alike(b)]


def decided_at(differences: npt.NDArray[np.int64], alpha: float) -> int | None:
    """After how many images the race is decided; None if never."""
    ahead, behind = (differences == 1).cumsum(), (differences == -1).cumsum()
    for n in [*range(LOOK, len(differences), LOOK), len(differences)]:
        if capital({1.0: int(ahead[n - 1]), -1.0: int(behind[n - 1])}) >= 1 / alpha:
            return n
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--alpha", type=float, default=0.05)
    asked, generator = parser.parse_args(), np.random.default_rng(0)
    print("points apart, McNemar's p at the end: decided, images used; without a difference")
    for a, b in pairs(asked.folder):
        _, (ours, theirs) = on_same_images([a, b])
        apart = ours.astype(np.int64) - theirs
        orders = [generator.permutation(apart) for _ in range(ORDERS)]
        ends = [decided_at(one, asked.alpha) for one in orders]
        swapped = [one * generator.choice([-1, 1], len(one)) for one in orders]
        wrong = np.mean([decided_at(one, asked.alpha) is not None for one in swapped])
        used = np.mean([end or len(apart) for end in ends]) / len(apart)
        print(
            f"{a.labels.method}, {b.labels.method}, {a.labels.source} -> {a.labels.target}, "
            f"{a.labels.attack} {a.eps}: {100 * apart.mean():+.1f}, {exact_mcnemar(apart):.2g}: "
            f"{np.mean([end is not None for end in ends]):.0%}, {used:.0%}; {wrong:.1%}"
        )


if __name__ == "__main__":
    main()
