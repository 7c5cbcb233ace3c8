"""Answers to a plan: by an executor with other processes, and in this one."""

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace

from robench.contracts import ProbeError
from robench.engine.bench import FAILURES, Bench
from robench.engine.evaluate import EvaluationError
from robench.engine.log import Log
from robench.engine.pretrain import TrainingError
from robench.engine.progress import Planned
from robench.engine.work import PAUSE, Answered, needed, threads
from robench.grid.questions import Evaluation, Pretraining, Question
from robench.grid.records import Result
from robench.grid.spec import Spec
from robench.store.locks import Busy
from robench.tensors.ranks import share


def answers(
    bench: Bench, evaluations: Sequence[Evaluation], limit: int | None
) -> tuple[list[Result], list[str]]:
    """Each evaluation's result on ``limit`` test images or more (None: all), and the failures.

    A failure stays in its cell, and in those that need the same encoder or probe. Raises DataError,
    before any compute, where a data set is needed and cannot be read.
    """
    with threads(bench.work.threads if bench.work else None):
        answered = _answers(bench, evaluations, limit)
    share()  # ends the other ranks, where there are some
    return answered


def _answers(
    bench: Bench, evaluations: Sequence[Evaluation], limit: int | None
) -> tuple[list[Result], list[str]]:
    known = _known(bench, evaluations, limit)
    log = Log(evaluations, bench.store.labels)
    failures: list[str] = []
    failed: set[Question] = set()

    def failure(line: str) -> None:
        failures.append(line)
        bench.say(f"failed: {line}")
        bench.say_traceback()

    waiting, said, checked = list[Evaluation](), 0, False
    for evaluation in evaluations:
        if evaluation not in known:
            try:
                bench.check(evaluation)
                waiting.append(evaluation)
            except EvaluationError as error:
                failure(f"{bench.title(evaluation)}: {error}")
    for done in _executed(bench, waiting, limit):
        for line in done.lines:
            bench.say(line)
        if isinstance(bench.progress, Planned):
            bench.progress.finish(bench.title(done.question))
        if done.failure is not None:
            failed.add(done.question)
            failure(done.failure)
        elif isinstance(done.question, Evaluation):
            found = bench.known.result(done.question, limit)
            if found is not None:
                bench.say(log(done.question, found))
    while waiting:
        busy = []
        for evaluation in waiting:
            if not failed.isdisjoint({evaluation, evaluation.probing, evaluation.probing.source}):
                continue
            try:
                found = bench.known.result(evaluation, limit)
                if found is None:
                    found = bench.result(evaluation, limit)
                    bench.say(log(evaluation, found))
                known[evaluation] = found
            except Busy:
                busy.append(evaluation)
            except FAILURES as error:
                bench.forget()
                if isinstance(error, TrainingError):
                    failed.add(evaluation.probing.source)
                    failure(str(error))
                else:
                    failed |= {evaluation.probing} if isinstance(error, ProbeError) else set()
                    failure(f"{bench.title(evaluation)}: {error}")
        if busy and len(busy) != said:
            said = len(busy)
            bench.say(f"waiting for what other processes compute of {said} cells")
        if len(busy) == len(waiting):
            time.sleep(PAUSE)
        waiting = busy
        if not waiting and not checked:
            # An encoder that was lost may be trained to other weights than those of known cells.
            checked = True
            waiting = [one for one in known if bench.known.result(one, limit) is None]
            for one in waiting:
                del known[one]
    return [known[evaluation] for evaluation in evaluations if evaluation in known], failures


def _executed(
    bench: Bench, evaluations: Sequence[Evaluation], limit: int | None
) -> Iterator[Answered]:
    """What the executor that was asked for has done; nothing where that is this process alone."""
    if bench.work is None or not evaluations:
        return
    work = replace(bench.work, limit=limit)
    watch = bench.progress if isinstance(bench.progress, Planned) else None
    if work.places.executor == "ray":
        from robench.engine.ray import on_ray

        yield from on_ray(needed(bench, evaluations), work, watch)
    elif work.places.workers > 1:
        from robench.engine.workers import on_workers

        yield from on_workers(needed(bench, evaluations), work, watch)


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
        found = {evaluation: bench.known.result(evaluation, limit) for evaluation in evaluations}
        probings = {one.probing for one, result in found.items() if result is None}
        needed = {probing.dataset for probing in probings}
        for source in {probing.source for probing in probings}:
            if isinstance(source, Pretraining) and bench.known.encoder(source) is None:
                needed.add(source.dataset)
        if needed <= loaded:
            return {one: result for one, result in found.items() if result is not None}
        for name in sorted(needed - loaded):
            bench.data(name)  # missing files show here, and not hours later
        loaded |= needed
