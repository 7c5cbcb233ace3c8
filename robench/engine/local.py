"""The executor in this process: one question after the other, in the plan's order."""

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager

from robench.contracts import ProbeError
from robench.engine.bench import FAILURES, Bench
from robench.engine.pretrain import TrainingError
from robench.grid.questions import Evaluation, Pretraining, Question
from robench.grid.records import Result
from robench.grid.spec import Spec
from robench.store.locks import Busy

PAUSE = 1.0
"""Seconds between two looks at what other processes compute."""


def answers(
    bench: Bench, evaluations: Sequence[Evaluation], limit: int | None
) -> tuple[list[Result], list[str]]:
    """Each evaluation's result on ``limit`` test images or more (None: all), and the failures.

    A failure stays in its cell, and in those that need the same encoder or probe. Raises DataError,
    before any compute, where a data set is needed and cannot be read.
    """
    known = _known(bench, evaluations, limit)
    places = {evaluation: place for place, evaluation in enumerate(evaluations, 1)}
    failures: list[str] = []
    skipped: set[Question] = set()
    waiting = [evaluation for evaluation in evaluations if evaluation not in known]
    said = ""
    while waiting:
        busy = []
        for evaluation in waiting:
            if not skipped.isdisjoint({evaluation.probing, evaluation.probing.source}):
                continue
            try:
                before = bench.known(evaluation, limit)
                result = before or bench.result(evaluation, limit)
                known[evaluation] = result
                if before is None:
                    share = f"{100 * result.correct / result.n:.1f}% of {result.n} images"
                    number = f"[{places[evaluation]}/{len(places)}]"
                    seconds = f"{result.cell.seconds:.1f} s"
                    bench.say(f"{number} {bench.title(evaluation)}: {share}, {seconds}")
            except Busy:
                busy.append(evaluation)
            except FAILURES as error:
                bench.forget()
                skipped |= _rests_on(evaluation, error)
                where = "" if isinstance(error, TrainingError) else f"{bench.title(evaluation)}: "
                failures.append(f"{where}{error}")
                bench.say(f"failed: {failures[-1]}")
        line = f"waiting for what other processes compute of {len(busy)} cells"
        if busy and line != said:
            bench.say(said := line)
        if len(busy) == len(waiting):
            time.sleep(PAUSE)
        waiting = busy
    return [known[evaluation] for evaluation in evaluations if evaluation in known], failures


def reporting(bench: Bench) -> AbstractContextManager[object]:
    """Lock for writing the report, once the processes that write it now are done."""
    while True:
        try:
            return bench.store.report_lock()
        except Busy:
            time.sleep(PAUSE / 5)


def _known(
    bench: Bench, evaluations: Sequence[Evaluation], limit: int | None
) -> dict[Evaluation, Result]:
    """The stored results; data that are needed for others are loaded, and compared with."""
    loaded: set[Spec] = set()
    while True:
        found = {evaluation: bench.known(evaluation, limit) for evaluation in evaluations}
        needed = _needed(bench, [one for one, result in found.items() if result is None])
        if needed <= loaded:
            return {one: result for one, result in found.items() if result is not None}
        for name in sorted(needed - loaded):
            bench.data(name)  # missing files show here, and not hours later
        loaded |= needed


def _needed(bench: Bench, evaluations: Sequence[Evaluation]) -> set[Spec]:
    """The data sets that it takes to compute the evaluations."""
    sources = {evaluation.probing.source for evaluation in evaluations}
    names = {evaluation.probing.dataset for evaluation in evaluations}
    for source in sources:
        if isinstance(source, Pretraining) and not bench.trained(source):
            names.add(source.dataset)
    return names


def _rests_on(evaluation: Evaluation, error: Exception) -> set[Question]:
    """What cannot be answered either for the error."""
    if isinstance(error, TrainingError):
        return {evaluation.probing.source}
    return {evaluation.probing} if isinstance(error, ProbeError) else set()
