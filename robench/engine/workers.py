"""Worker processes on this machine; each takes the next question whose parents are answered."""

import multiprocessing
import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from graphlib import TopologicalSorter
from multiprocessing.connection import Connection

import torch

from robench.engine.display import Display, Sent
from robench.engine.places import Work, find_device
from robench.engine.progress import Planned
from robench.engine.work import Answered, answer, keep_freed_memory
from robench.grid.questions import Evaluation, Probing, Question, Source, key, parents

_TRIES = 3  # of a question whose worker dies


def on_workers(
    questions: Sequence[Question], work: Work, watch: Planned | None = None
) -> Iterator[Answered]:
    """Answer the questions in ``work.places.workers`` processes, as an `Executor` does.

    A worker that dies is replaced and its question asked again. When this generator is closed, also
    by Ctrl-C, the workers stop at their next safe point. ``watch`` shows how far they are.
    """
    order = {question: number for number, question in enumerate(questions)}
    graph = TopologicalSorter({one: order.keys() & set(parents(one)) for one in questions})
    graph.prepare()
    ready, deaths = list[Question](), Counter[Question]()
    busy: dict[Future[Answered], tuple[_Worker, Question]] = {}
    with Display(len(questions), watch) as display:
        idle = [_Worker(work, number, display) for number in range(work.places.workers)]
        try:
            while True:
                ready += graph.get_ready()
                taken = {_source(question) for _, question in busy.values()}
                while ready and idle:
                    worker = idle.pop(0)
                    question = min(ready, key=lambda one: (*worker.likes(one, taken), order[one]))
                    ready.remove(question)
                    taken.add(_source(question))
                    busy[worker.ask(question)] = worker, question
                if not busy:
                    return
                for future in wait(busy, return_when=FIRST_COMPLETED).done:
                    worker, question = busy.pop(future)
                    idle.append(worker)
                    try:
                        done = future.result()
                    except BrokenProcessPool:
                        deaths[question] += 1
                        if deaths[question] < _TRIES:
                            ready.append(question)
                            continue
                        why = f"its process died {_TRIES} times, maybe for want of memory"
                        done = Answered(question, failure=f"{key(question)}: {why}")
                    if done.failure is None:
                        graph.done(question)
                    display.answered()
                    yield done
        finally:
            for worker, _ in busy.values():
                worker.stop()
            for worker in (*idle, *(worker for worker, _ in busy.values())):
                worker.pool.shutdown()


def _source(question: Question) -> Source:
    if isinstance(question, Evaluation):
        return question.probing.source
    return question.source if isinstance(question, Probing) else question


class _Worker:
    """One process; it keeps the encoder of its last question and the data in memory."""

    def __init__(self, work: Work, number: int, display: Display) -> None:
        gpus = torch.cuda.device_count()
        if gpus > 1 and find_device(work.places.device) == torch.device("cuda"):
            places = replace(work.places, device=f"cuda:{number % gpus}")
            work = replace(work, places=places)
        self._work, self._display, self._name = work, display, f"worker {number + 1}"
        self._source: Source | None = None
        self._start()

    def likes(self, question: Question, taken: set[Source]) -> tuple[bool, bool]:
        """The order in which it takes questions: of its own encoder, then of nobody's."""
        source = _source(question)
        return source != self._source, source in taken

    def ask(self, question: Question) -> Future[Answered]:
        """Begin to answer; the process is replaced if it has died."""
        self._source = _source(question)
        try:
            return self.pool.submit(_answer, question)
        except BrokenProcessPool:
            self._start()
            return self.pool.submit(_answer, question)

    def stop(self) -> None:
        """Ask the process to stop at its next safe point."""
        if self._pid.done() and self._pid.exception() is None:
            os.kill(self._pid.result(), signal.SIGTERM)

    def _start(self) -> None:
        # A pool of one: when a process dies, its whole pool is broken.
        self.pool = ProcessPoolExecutor(
            1, _context(), _begin, (self._work, self._display.line(self._name))
        )
        self._pid = self.pool.submit(os.getpid)


def _context() -> multiprocessing.context.BaseContext:
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])  # the imports take longer than a small cell
    return context


# --- in the worker


def _begin(work: Work, line: Connection) -> None:
    global _work, _progress
    _work, _progress = work, Sent(line.send)
    # Ctrl-C reaches every process of a terminal, but it is for the first one to pass it on.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    keep_freed_memory()
    if work.threads is not None:
        torch.set_num_threads(work.threads)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _answer(question: Question) -> Answered:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return answer(question, _work, _progress)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


_work: Work
_progress: Sent
