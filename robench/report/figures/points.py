"""The points of the figures: the results of each place in the table, in percent."""

from statistics import fmean
from typing import NamedTuple

import pandas as pd

from robench.grid.records import IMPORTED
from robench.report.names import NORMS, proper
from robench.report.results import CLEAN, Order, natural, radius
from robench.trust.flags import doubts


class Attack(NamedTuple):
    """An attack in its ball; norm and eps are "" for clean."""

    attack: str
    norm: str
    eps: str


SHOWN = "attack: the strongest, at the ε where methods differ most"
MOST = 24
"""The most methods in a figure, the first in their order; more would have neither look nor room."""
_PLACE = ["series", "source", "target", "attack", "norm", "eps"]


def points(frame: pd.DataFrame, order: Order | None = None) -> pd.DataFrame:
    """A row per point: series, source, target, attack, norm, eps, size, accuracy, low, high, flags.

    A series is a method, with the encoder and the probe where there are several. Of several
    ``seeds``, accuracy is the mean, and low and high are one standard deviation away; of one, they
    are its 95% interval. Of several n, the largest counts. A flag that every number has
    distinguishes none of them: ``common`` names it on every row, and ``flagged`` says whether there
    is another flag. An imported encoder stands beside those of the target's data. Sources, targets
    and attacks are categories in their order. Series beyond the first `MOST` are left out, and
    ``all_series`` is the number of all.
    """
    order = order or Order()
    names = [set(doubts(flags.split(";"))) - {""} for flags in frame["flags"]]
    common = set.intersection(*names)
    series = frame["method"]
    for column in ("encoder", "probe"):
        if frame[column].nunique() > 1:
            series = series + ", " + frame[column]
    source = frame["source"].mask(frame["source"] == IMPORTED, frame["target"])
    flagged = [bool(own - common) for own in names]
    frame = frame.assign(series=series, source=source, flagged=flagged)
    every = series.unique()
    frame = frame[series.isin(every[:MOST])]
    most = frame.groupby(_PLACE)["n"].transform("max")
    groups = frame[frame["n"] == most].groupby(_PLACE, sort=False, as_index=False)
    found = groups.agg(
        accuracy=("accuracy", "mean"),
        sd=("accuracy", "std"),
        low=("ci_low", "first"),
        high=("ci_high", "first"),
        seeds=("seed", "nunique"),
        n=("n", "first"),
        flagged=("flagged", "any"),
    )
    several = found["seeds"] > 1
    found["low"] = found["low"].mask(several, (found["accuracy"] - found["sd"]).clip(lower=0))
    found["high"] = found["high"].mask(several, (found["accuracy"] + found["sd"]).clip(upper=1))
    numbers = ["accuracy", "sd", "low", "high"]
    found[numbers] = (100 * found[numbers]).round(6)
    found = found.assign(
        size=[float(radius(eps)) for eps in found["eps"]],
        common=", ".join(sorted(common, key=natural)),
        transfer=found["source"] != found["target"],
        all_series=len(every),
    )
    for field in ("source", "target", "attack"):
        names_in_order = sorted(set(found[field]), key=lambda name: order.name(field, name))
        found[field] = pd.Categorical(found[field], names_in_order)
    return found


def legend(points: pd.DataFrame, *, bars: str, flag: str) -> str:
    """The meaning of ``bars`` and of the mark of a ``flag``, and how many images and seeds."""
    intervals = ["95% interval"] * bool(bars != "±" and (points["seeds"] == 1).any())
    if (seeds := points["seeds"].max()) > 1:
        intervals.append(f"standard deviation over {seeds} seeds")
    said = [f"{bars}: {', or '.join(intervals)}"] if intervals else []
    sizes = sorted({points["n"].min(), points["n"].max()})
    said += [f"{' to '.join(f'{n:,}' for n in sizes)} test images"]
    said += [f"{flag} flagged"] if points["flagged"].any() else []
    said += (
        [f"all flagged: {', '.join(points['common'].unique())}"] if any(points["common"]) else []
    )
    every = points["all_series"].max()
    said += [f"the first {MOST} of {every} methods"] if every > MOST else []
    return ", ".join(said)


def ordered(names: "pd.Series[str]") -> list[str]:
    """Each name once, in order."""
    return [str(name) for name in names.cat.categories if (names == name).any()]


def in_domain(points: pd.DataFrame) -> pd.DataFrame:
    """The points without a transfer, or all where every point has one."""
    within = points[~points["transfer"]]
    return points if within.empty else within


def panels(points: pd.DataFrame) -> dict[tuple[str, str], pd.DataFrame]:
    """The points of each source and target, in order."""
    groups = points.groupby(["source", "target"], observed=True)
    return {(str(source), str(target)): own for (source, target), own in groups}


def under(points: pd.DataFrame, attack: Attack) -> pd.DataFrame:
    """The points of an attack in its ball."""
    of_name = points[points["attack"] == attack.attack]
    return of_name[(of_name["norm"] == attack.norm) & (of_name["eps"] == attack.eps)]


def shown_attack(points: pd.DataFrame) -> Attack | None:
    """The attack that figures of one attack show, as `SHOWN` says; None without any.

    Only attacks that were tried at the most places count, and none that leaves more than another
    does in the same ball. Where a ball leaves every method near zero, a figure of it would show
    nothing; of several alike, the smallest counts.
    """
    attacked = points[points["attack"] != CLEAN]
    groups = attacked.groupby(list(Attack._fields), observed=True)["accuracy"]
    tried = {Attack(*map(str, one)): values.tolist() for one, values in groups}
    most = max(map(len, tried.values()), default=0)
    balls: dict[tuple[str, str], Attack] = {}
    beaten = set()
    for one in sorted(tried, key=lambda one: fmean(tried[one])):
        if len(tried[one]) == most and balls.setdefault((one.norm, one.eps), one) != one:
            beaten.add(one.attack)
    return max(
        [one for one in balls.values() if one.attack not in beaten] or balls.values(),
        key=lambda one: (max(tried[one]) - min(tried[one]), -radius(one.eps)),
        default=None,
    )


def heading(attack: Attack) -> str:
    """The attack and its ball: "AutoAttack, ε = 4/255 (L∞)"."""
    name, ball = proper(attack.attack), NORMS.get(attack.norm, attack.norm)
    return f"{name}, ε = {attack.eps} ({ball})" if attack.eps else name
