"""What each of AutoAttack's four attacks took that those before it had left."""

from collections import defaultdict
from collections.abc import Iterable

import numpy as np

from robench.grid.records import Result
from robench.report.results import radius
from robench.report.table import Note, Number, Row, Table
from robench.trust.flags import doubts

MEMBERS = "APGD-CE", "APGD-T", "FAB-T", "Square"


def members(results: Iterable[Result]) -> Table:
    """Of the images that an encoder has right, the share that each attack took, by norm and eps.

    Only AutoAttack's numbers without a doubt count: where gradients are masked, Square takes what
    the others should have. Raises ValueError where there are none.
    """
    balls = defaultdict[tuple[str, str], list[Result]](list)
    for one in results:
        attack = one.cell.evaluation.attack
        if attack.name == "autoattack" and not attack.has("sample") and not doubts(one.flags):
            balls[one.norm, one.eps].append(one)
    if not balls:
        raise ValueError("there are no results of autoattack without a flag")
    rows = [_row(ball, balls[ball]) for ball in sorted(balls, key=lambda b: (b[0], radius(b[1])))]
    caption = (
        "Of the images that are right without an attack (%), those that each attack of AutoAttack "
        "took of what those before it had left, over all encoders without a flag."
    )
    said = "An attack that takes nothing here may be skipped for such encoders, and for no others."
    heads = "norm", "eps", "encoders", "images"
    return Table(caption, heads, (*MEMBERS, "left"), (tuple(rows),), (Note("", said),))


def _row(ball: tuple[str, str], found: list[Result]) -> Row:
    by = np.concatenate(
        [one.outcome.fooled_by[one.outcome.clean_prediction == one.outcome.label] for one in found]
    )
    counts = [int((by == member).sum()) for member in (*range(len(MEMBERS)), -1)]
    probings = {one.cell.evaluation.probing for one in found}
    names = (*ball, str(len(probings)), f"{len(by):,}")
    return Row(names, tuple(Number(100 * count / max(1, len(by))) for count in counts))
