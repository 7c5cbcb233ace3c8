"""The answer to one question, in whatever process; questions and answers go between processes."""

import ctypes
import platform
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache

import torch

from robench.contracts import Progress
from robench.engine.bench import FAILURES, Bench
from robench.engine.places import Work, make_bench
from robench.engine.pretrain import TrainingError
from robench.engine.progress import silent
from robench.grid.questions import Evaluation, Imported, Pretraining, Probing, Question, parents
from robench.grid.spec import Spec
from robench.store.locks import Busy

PAUSE = 1.0
"""Seconds between two looks at what other processes compute."""


@dataclass(frozen=True)
class Answered:
    """A question whose answer is in the store, or the line that says why there is none.

    ``lines`` were said on the way.
    """

    question: Question
    lines: tuple[str, ...] = ()
    failure: str | None = None


Executor = Callable[[Sequence[Question], Work], Iterator[Answered]]
"""Answers questions, parents first, and yields each as it is done.

Those that a failed one is a parent of are left out.
"""


def answer(question: Question, work: Work, progress: Progress = silent) -> Answered:
    """Answer one question whose parents' answers are in the store; one that is there is kept.

    Waits for another process that computes it. Raises DataError, StoreError and OSError, which
    concern every question.
    """
    bench, lines = _bench(replace(work, limit=None), progress)  # type: ignore[arg-type]
    failure = None
    try:
        while True:
            try:
                compute(bench, question, work.limit)
                break
            except Busy:
                time.sleep(PAUSE)
    except FAILURES as error:
        bench.forget()
        failure = failure_of(bench, question, error)
        if bench.debug:
            lines.append(traceback.format_exc())
    said, lines[:] = tuple(lines), []
    return Answered(question, said, failure)


def compute(bench: Bench, question: Question, limit: int | None) -> None:
    """Compute the answer, if it is not known; raises as `Bench.result` does."""
    match question:
        case Evaluation():
            bench.result(question, limit)
        case Probing():
            bench.classifier(question)
        case Pretraining() | Imported():
            bench.encoder(question)


def failure_of(bench: Bench, question: Question, error: Exception) -> str:
    """A line on a question that cannot be answered."""
    if isinstance(error, TrainingError) or isinstance(question, Pretraining | Imported):
        return str(error)
    shown = question if isinstance(question, Evaluation) else Evaluation(question, Spec("clean"))
    return f"{bench.title(shown)}: {error}"


def needed(bench: Bench, evaluations: Sequence[Evaluation]) -> list[Question]:
    """The evaluations and all that they are computed from and that is not stored, parents first."""
    found: dict[Question, None] = {}

    @cache
    def known(question: Question) -> bool:
        match question:
            case Pretraining() | Imported():
                return bench.known.encoder(question) is not None
            case Probing():
                return bench.known.fitted(question)
        return False

    def add(question: Question) -> None:
        stored = known(question)
        if isinstance(question, Probing) or not stored:  # the encoder of a probe may be lost
            for parent in parents(question):
                add(parent)
        if not stored:
            found[question] = None

    for evaluation in evaluations:
        add(evaluation)
    return list(found)


@cache
def _bench(work: Work, progress: Progress) -> tuple[Bench, list[str]]:
    """A bench that lasts as long as the process, and the lines that it says."""
    lines = list[str]()
    places = replace(work.places, workers=1)
    return make_bench(places, work.folder, progress, lines.append, lines.append), lines


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Compute with so many threads inside the block; None changes nothing."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def keep_freed_memory() -> None:
    """Make glibc keep freed memory for the next tensor, in this process.

    Otherwise the system hands out every page blank again, which is a sixth of a training step on a
    CPU (docs/performance.md).
    """
    if platform.libc_ver()[0] == "glibc":
        library = ctypes.CDLL(None)
        # M_MMAP_THRESHOLD and M_TRIM_THRESHOLD of glibc's malloc.h: larger blocks would leave large
        # holes, and a gigabyte may lie idle.
        for parameter, value in ((-3, 32 * 2**20), (-1, 2**30)):
            library.mallopt(parameter, value)
