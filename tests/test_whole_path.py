"""A small grid whose right answers are known, through the whole path: from words to tables.

Whatever the encoder's first weights are, a probe sees the class of each image of the data set
`known`. So the accuracy of each cell follows from the numbers of wrong labels and of weak images.
"""

from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import PLUGINS, robench, without_figures
from safetensors.numpy import load_file


def _plugin(name: str) -> tuple[str, str]:
    return "--plugin", str(PLUGINS / f"{name}.py")


SMALL, LARGE = "known(test=400, weak=100, wrong=10)", "known"
ACCURACY = {  # of the target alone, in percent: without an attack, and with `swap`
    LARGE: {"clean": 100 * (600 - 75) / 600, "swap": 100 * (600 - 75 - 48) / 600},
    SMALL: {"clean": 100 * (400 - 10) / 400, "swap": 100 * (400 - 10 - 100) / 400},
}
IMAGES = {LARGE: 600, SMALL: 400}
METHODS = ("still", "still(name=1)")
COMMAND = (
    "run",
    *(word for name in ("known", "quarters", "still", "swap") for word in _plugin(name)),
    *("--methods", ",".join(METHODS), "--encoders", "quarters", "--attacks", "swap"),
    *("--sources", f"{LARGE},{SMALL}", "--probes", "linear(strength=0.0001)"),
    *("--seeds", "0,1", "--epochs", "1", "--images", "256", "--limit", "1000"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the grid was computed once."""
    root = tmp_path_factory.mktemp("known")
    with without_figures():
        done = robench(*COMMAND, "--out", str(root / "out"), "--zoo", str(root / "zoo"))
    assert (done.code, done.err) == (0, "")
    return root


@pytest.fixture(scope="module")
def cells(folder: Path) -> pd.DataFrame:
    """The tidy table of the run."""
    return pd.read_csv(folder / "out" / "results.csv", keep_default_na=False)


def test_each_cell_has_the_accuracy_that_its_target_gives(cells: pd.DataFrame) -> None:
    seen = set()
    for row in cells.itertuples():
        assert row.n == IMAGES[row.target]
        assert row.accuracy == pytest.approx(ACCURACY[row.target][row.attack] / 100, abs=1e-9)
        seen.add((row.method, row.source, row.target, row.attack, row.seed))
    assert len(cells) == len(seen) == len(METHODS) * 2 * 2 * 2 * 2


def test_tables_have_it_in_the_row_of_its_transfer(folder: Path) -> None:
    table = pd.read_csv(folder / "out" / "table.csv")
    for row in table.itertuples(index=False):
        source, target = row[0].split(" → ")
        numbers = {
            name.split()[0]: value
            for name, value in zip(table.columns, row, strict=True)
            if isinstance(value, float) and not name.endswith(" sd") and value == value
        }
        assert source in IMAGES
        assert numbers == pytest.approx(ACCURACY[target], abs=0.05)
    assert len(table) == len(METHODS) * 2 * 2


def test_methods_and_seeds_start_from_their_own_weights(folder: Path) -> None:
    weights = [load_file(path)["gain"] for path in (folder / "zoo").glob("*/encoder.safetensors")]
    assert len(weights) == len(METHODS) * 2 * 2
    for one, other in combinations(weights, 2):
        assert abs(one - other).max() > 1e-3


def test_batches_and_seeds_have_their_own_draws(folder: Path) -> None:
    draws = []
    for path in (folder / "out" / "cells").glob("*-swap-*.npz"):
        with np.load(path) as outcome:
            size = outcome["size"]
        draws += list(size[size < 0.1])  # all but weak images
    weak = {LARGE: 48, SMALL: 100}
    assert len(draws) == len(METHODS) * 2 * 2 * sum(IMAGES[name] - weak[name] for name in IMAGES)
    # 24 bits a draw: of 8,000, few fall on one number by chance.
    assert len(set(draws)) > 0.99 * len(draws)
