"""Claims about methods, tested with seeds as the unit. Usage::

    python results/claims.py results/cifar-small

A method is more than one training of it, so the difference of two methods is tested by a paired t
test over seeds, with Holm's correction over the lines of a transfer. "shows from" is the smallest
mean difference with p < 0.05 at the spread that these seeds have, before the correction.
"""

from pathlib import Path

import click
import numpy as np
import pandas as pd
from scipy import stats

from robench.store.store import Store
from robench.trust.statistics import holm

PAIRS = [("rocl", "plain"), ("clae", "plain"), ("rocl", "clae")]


def differences(table: pd.DataFrame) -> pd.DataFrame:
    """A line for each pair of methods, transfer and attack: points, averaged over seeds."""
    lines = []
    for (source, target, attack, eps), part in table.groupby(
        ["source", "target", "attack", "eps"], sort=False
    ):
        by_seed = part.pivot(index="seed", columns="method", values="accuracy") * 100
        for one, other in PAIRS:
            gaps = (by_seed[one] - by_seed[other]).to_numpy()
            n, error = len(gaps), stats.sem(gaps)
            p = 1.0 if error == 0 else float(stats.ttest_1samp(gaps, 0).pvalue)
            line = {"pair": f"{one} - {other}", "data": f"{source} -> {target}"}
            line |= {"attack": f"{attack} {eps}".strip(), "difference": gaps.mean()}
            line |= {"shows from": stats.t.ppf(0.975, n - 1) * error, "p": p}
            lines.append(line)
    found = pd.DataFrame(lines)
    found["p (Holm)"] = found.groupby("data").p.transform(lambda p: holm(p.tolist()))
    found["verdict"] = np.where(found["p (Holm)"] < 0.05, "found", "not found")
    return found


def separation(right: np.ndarray, confidence: np.ndarray) -> float:
    """The area under the ROC curve of the confidence for the images that stand."""
    u = stats.mannwhitneyu(confidence[right], confidence[~right]).statistic
    return float(u) / (right.sum() * (~right).sum())


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True))
def claims(folder: Path) -> None:
    """Print the tests of the cells in FOLDER."""
    table = pd.read_csv(folder / "results.csv").fillna({"eps": ""})
    kept = table[(table.attack == "clean") | (table.attack + table.eps == "autoattack4/255")]
    found = differences(kept)
    click.echo(found.to_string(index=False, float_format=lambda x: f"{x:.3g}"))

    wide = table.pivot(
        index=["method", "source", "target", "seed", "eps"], columns="attack", values="accuracy"
    )
    both = wide.dropna(subset=["pgd", "autoattack"])
    above = int((both.autoattack > both.pgd).sum())
    click.echo(
        f"\nAutoAttack above PGD at the same radius: {above} of {len(both)} models and radii"
    )

    shares: dict[str, list[float]] = {}
    for one in Store(folder, Path("zoo"), click.echo).results():
        own = one.outcome.clean_prediction == one.outcome.label
        right = one.outcome.right[own]
        if (
            one.labels.attack == "autoattack"
            and one.eps == "4/255"
            and min(right.sum(), (~right).sum()) >= 10
        ):
            value = separation(right, one.outcome.clean_confidence[own])
            shares.setdefault(one.labels.method, []).append(value)
    for method, values in shares.items():
        click.echo(
            f"{method}: the confidence on the clean image tells what stands under AutoAttack 4/255 "
            f"from what falls: AUC {np.mean(values):.2f} ({min(values):.2f} to {max(values):.2f}) "
            f"over {len(values)} probes"
        )


if __name__ == "__main__":
    claims()
