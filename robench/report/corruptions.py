"""Mean accuracy under common corruptions, for each severity."""

from collections import defaultdict
from collections.abc import Iterable

from robench.attacks.corruption import EXTRA, KINDS
from robench.grid.records import Labels, Result
from robench.report.results import Order
from robench.report.table import Note, Number, Row, Table, images_of
from robench.trust.statistics import mean_sd


def corruption_table(results: Iterable[Result], order: Order | None = None) -> Table:
    """Rows of methods; for each severity the mean accuracy over the 15 corruptions, and over all.

    The four extra corruptions are left out, as in the published means. What is right counts,
    whether it was before or not. Where corruptions are missing, the mean is left empty. Raises
    ValueError where there are none.
    """
    order, used = order or Order(), list[Result]()
    found = defaultdict[Labels, dict[int, dict[tuple[str, int], float]]](lambda: defaultdict(dict))
    for one in results:
        attack, labels = one.cell.evaluation.attack, one.labels
        if attack.name == "corruption" and attack.get("kind") not in EXTRA:
            row = Labels(**{**vars(labels), "attack": ""})
            share = 100 * float((one.outcome.prediction == one.outcome.label).mean())
            at = str(attack.get("kind")), int(str(attack.get("severity")))
            found[row][one.seed][at] = share
            used.append(one)
    if not used:
        raise ValueError("there are no results of the attack corruption")
    severities = range(1, 6)

    def mean(row: Labels, chosen: Iterable[int]) -> Number | None:
        cells = [(kind, severity) for kind in KINDS for severity in chosen]
        whole = [of for of in found[row].values() if all(cell in of for cell in cells)]
        if not whole:
            return None
        return Number(*mean_sd([sum(of[cell] for cell in cells) / len(cells) for of in whole]))

    rows = []
    for row in sorted(found, key=order.row):
        names = f"{row.source} → {row.target}", row.method, row.encoder, row.probe
        entries = (*(mean(row, [severity]) for severity in severities), mean(row, severities))
        rows.append(Row(names, entries))
    caption = (
        f"Mean accuracy (%) under 15 common corruptions on {images_of(used)} test images, by "
        "severity."
    )
    note = Note("", "Drawn by robench, and not the published files of CIFAR-10-C.")
    heads = "source → target", "method", "encoder", "probe"
    columns = (*(f"severity {one}" for one in severities), "mean")
    return Table(caption, heads, columns, (tuple(rows),), (note,))
