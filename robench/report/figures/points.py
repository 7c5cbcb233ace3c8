"""The tidy frame, averaged over seeds: a row for each point of a figure, in percent."""

from collections import defaultdict
from collections.abc import Mapping
from statistics import fmean
from typing import NamedTuple

import pandas as pd

from robench.report.results import CLEAN, natural, radius
from robench.report.table import attack_name, says_norm


class Asked(NamedTuple):
    """An attack in its ball; the last two are "" for clean."""

    attack: str
    norm: str
    eps: str


_PLACE = ["series", "source", "target", "attack", "norm", "eps"]


def points(frame: pd.DataFrame) -> pd.DataFrame:
    """A row a point: series, source, target, attack, norm, eps, size, accuracy, low, high, flags.

    A series is a method, with the encoder and the probe where there are several. Accuracy and its
    interval are means over seeds, so the interval says how sure one seed's number is. Of several n,
    the largest counts. What every number is flagged for tells none of them apart: ``common`` names
    it on every row, and ``flagged`` says whether there is another flag.
    """
    names = [set(flags.split(";")) - {""} for flags in frame["flags"]]
    common = set.intersection(*names)
    frame = frame.assign(series=_series(frame), flagged=[bool(own - common) for own in names])
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


def flagging(points: pd.DataFrame, mark: str) -> str:
    """What a figure's legend says of flags: of those with a ``mark``, and of those on all points.

    It begins with a comma, or is "".
    """
    crossed = f", {mark} flagged" if points["flagged"].any() else ""
    common = ", ".join(dict.fromkeys(points["common"]))
    return crossed + (f", all flagged: {common}" if common else "")


def ordered(names: "pd.Series[str]") -> list[str]:
    """Each name once, in natural order."""
    return sorted(set(names), key=natural)


def pairs(points: pd.DataFrame, *, in_domain: bool) -> list[tuple[str, str]]:
    """The (source, target) pairs; with ``in_domain`` only those without a transfer, if any."""
    found = sorted(
        set(zip(points["source"], points["target"], strict=True)),
        key=lambda pair: (natural(pair[0]), natural(pair[1])),
    )
    within = [(source, target) for source, target in found if source == target]
    return within if in_domain and within else found


def at(points: pd.DataFrame, place: Mapping[str, str]) -> pd.DataFrame:
    """The points that have these values in these columns."""
    for column, value in place.items():
        points = points[points[column] == value]
    return points


def strongest(points: pd.DataFrame) -> Asked | None:
    """Which attack leaves the least accuracy, among those tried most widely; None without any."""
    tried = _tried(points)
    return min(tried, key=lambda asked: (fmean(tried[asked]), asked)) if tried else None


def telling(points: pd.DataFrame) -> Asked | None:
    """The strongest attack, at the radius that spreads the accuracies most; None without any.

    Where a radius leaves everybody near zero, a picture of it would show nothing.
    """
    worst = strongest(points)
    if worst is None:
        return None
    tried = _tried(points)
    radii = [asked for asked in tried if asked[:2] == worst[:2]]
    return max(radii, key=lambda asked: (max(tried[asked]) - min(tried[asked]), radius(asked.eps)))


def _tried(points: pd.DataFrame) -> dict[Asked, list[float]]:
    """The accuracies under each attack, of those that were tried at the most places."""
    attacked = points[points["attack"] != CLEAN]
    tried: dict[Asked, list[float]] = defaultdict(list)
    for attack, norm, eps, accuracy in zip(
        *(attacked[column] for column in ("attack", "norm", "eps", "accuracy")), strict=True
    ):
        tried[Asked(attack, norm, eps)].append(accuracy)
    most = max(map(len, tried.values()), default=0)
    return {asked: values for asked, values in tried.items() if len(values) == most}


def heading(points: pd.DataFrame, asked: Asked) -> str:
    """What a reader calls the attack; the norm is said where it is not always linf."""
    return attack_name(*asked, with_norm=says_norm(points["norm"]))


def _series(frame: pd.DataFrame) -> "pd.Series[str]":
    series = frame["method"]
    for column in ("encoder", "probe"):
        if frame[column].nunique() > 1:
            series = series + ", " + frame[column]
    return series
