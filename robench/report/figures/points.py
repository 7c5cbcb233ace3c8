"""The points of the figures: the long frame averaged over seeds, in percent."""

from collections.abc import Iterable
from statistics import fmean
from typing import NamedTuple

import pandas as pd

from robench.report.results import CLEAN, natural, radius
from robench.report.table import attack_names


class Attack(NamedTuple):
    """An attack in its ball; norm and eps are "" for clean."""

    attack: str
    norm: str
    eps: str


_PLACE = ["series", "source", "target", "attack", "norm", "eps"]


def points(frame: pd.DataFrame) -> pd.DataFrame:
    """A row per point: series, source, target, attack, norm, eps, size, accuracy, low, high, flags.

    A series is a method, with the encoder and the probe where there are several. Accuracy and its
    interval are means over seeds, so the interval is that of one seed's number. Of several n, the
    largest counts. A flag that every number has distinguishes none of them: ``common`` names it on
    every row, and ``flagged`` says whether there is another flag.
    """
    names = [set(flags.split(";")) - {""} for flags in frame["flags"]]
    common = set.intersection(*names)
    series = frame["method"]
    for column in ("encoder", "probe"):
        if frame[column].nunique() > 1:
            series = series + ", " + frame[column]
    frame = frame.assign(series=series, flagged=[bool(own - common) for own in names])
    most = frame.groupby(_PLACE)["n"].transform("max")
    groups = frame[frame["n"] == most].groupby(_PLACE, sort=False, as_index=False)
    averaged = groups.agg(
        accuracy=("accuracy", "mean"),
        low=("ci_low", "mean"),
        high=("ci_high", "mean"),
        flagged=("flagged", "any"),
    )
    numbers = ["accuracy", "low", "high"]
    averaged[numbers] = (100 * averaged[numbers]).round(6)
    return averaged.assign(
        size=[float(radius(eps)) for eps in averaged["eps"]],
        common=", ".join(sorted(common, key=natural)),
    )


def flag_legend(points: pd.DataFrame, mark: str) -> list[str]:
    """The legend of flags: of those with a ``mark``, and of those on all points."""
    common = ", ".join(dict.fromkeys(points["common"]))
    marked = [f"{mark} flagged"] if points["flagged"].any() else []
    return marked + ([f"all flagged: {common}"] if common else [])


def ordered(names: Iterable[str]) -> list[str]:
    """Each name once, in natural order."""
    return sorted(set(names), key=natural)


def in_domain(points: pd.DataFrame) -> pd.DataFrame:
    """The points without a transfer, or all where every point has one."""
    within = points[points["source"] == points["target"]]
    return points if within.empty else within


def panels(points: pd.DataFrame) -> dict[tuple[str, str], pd.DataFrame]:
    """The points of each source and target, in natural order."""
    groups = {tuple(map(str, pair)): own for pair, own in points.groupby(["source", "target"])}
    pairs = sorted(groups, key=lambda pair: [natural(name) for name in pair])
    return {(pair[0], pair[1]): groups[pair] for pair in pairs}


def under(points: pd.DataFrame, attack: Attack) -> pd.DataFrame:
    """The points of an attack in its ball."""
    return points[(points[list(Attack._fields)] == list(attack)).all(axis=1)]


def strongest(points: pd.DataFrame) -> Attack | None:
    """The attack that leaves least accuracy, among those tried most widely; None without any."""
    tried = _tried(points)
    return min(tried, key=lambda one: (fmean(tried[one]), one)) if tried else None


def most_discriminating_eps(points: pd.DataFrame) -> Attack | None:
    """The strongest attack, at the eps that spreads the accuracies most; None without any.

    Where an eps leaves every method near zero, a figure of it would show nothing.
    """
    worst = strongest(points)
    if worst is None:
        return None
    tried = {one: values for one, values in _tried(points).items() if one[:2] == worst[:2]}
    return max(tried, key=lambda one: (max(tried[one]) - min(tried[one]), radius(one.eps)))


def _tried(points: pd.DataFrame) -> dict[Attack, list[float]]:
    """The accuracies under each attack, of those that were tried at the most places."""
    attacked = points[points["attack"] != CLEAN]
    groups = attacked.groupby(list(Attack._fields))["accuracy"]
    tried = {Attack(*map(str, one)): values.tolist() for one, values in groups}
    most = max(map(len, tried.values()), default=0)
    return {one: values for one, values in tried.items() if len(values) == most}


def heading(points: pd.DataFrame, attack: Attack) -> str:
    """The attack's name; with the norm where it is not always linf."""
    others = zip(*(points[name] for name in Attack._fields), strict=True)
    return attack_names([*others, attack])[-1]
