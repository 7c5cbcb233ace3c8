"""Questions as tasks of Ray, on this machine or on a cluster."""

import os
import platform
import secrets
import signal
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from robench.catalog.catalog import Catalog
from robench.engine.display import Display, Sent, Sign
from robench.engine.places import Work, open_store
from robench.engine.progress import Planned
from robench.engine.work import Answered, answer, keep_freed_memory
from robench.files import atomic_write, first_line
from robench.grid.questions import Question, key, parents
from robench.grid.spec import SpecError

_TRIES = 3  # of a question whose node dies, after the first one
_PATIENCE = 60.0  # seconds that tasks have for their safe point, on Ctrl-C

Files = Mapping[str, bytes]


@dataclass(frozen=True)
class _Done:
    """What a task hands on: None where a parent has failed, and the answer's files, if need be."""

    answered: Answered | None
    files: Files


@dataclass(frozen=True)
class _Apart:
    """A node that does not see the driver's folders works in a temporary one, by this name."""

    name: str
    plugins: Files

    def work(self, work: Work) -> Work:
        """The same work in that folder; its plug-ins are written there."""
        folder = Path(tempfile.gettempdir()) / self.name
        paths = tuple(folder / "plugins" / name for name in self.plugins)
        for path, content in zip(paths, self.plugins.values(), strict=True):
            with atomic_write(path) as file:
                file.write(content)
        out, zoo = folder / "out", folder / "zoo"
        return replace(work, places=replace(work.places, out=out, zoo=zoo, plugins=paths))


def on_ray(
    questions: Sequence[Question], work: Work, watch: Planned | None = None
) -> Iterator[Answered]:
    """Answer the questions as tasks of Ray, as an `Executor` does.

    Ray schedules them by their needs and parents, and asks again what a dead process or node had.
    Where a node does not see the results folder and the zoo, files go to it and come back with the
    answers; data sets must be on every node. When this generator is closed, also by Ctrl-C, tasks
    stop at their next safe point. Raises SpecError where there is no cluster at the address.
    """
    ray: Any = import_module("ray")
    try:
        ray.init(work.places.address, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, ValueError) as error:
        raise SpecError(f"no Ray cluster at {work.places.address}: {first_line(error)}") from None
    needs, store = dict(work.places.ray), _store(work)
    gpus = ray.cluster_resources().get("GPU", 0) > 0 and work.places.device != "cpu"
    memory = {"memory": needs["memory"] * 2**30} if "memory" in needs else {}
    ask = ray.remote(_ask).options(
        num_cpus=needs.get("cpus", 1),
        num_gpus=needs.get("gpus", int(gpus)),
        max_retries=_TRIES,
        **memory,
    )
    name = f"robench-{secrets.token_hex(4)}"
    apart = None
    if not _shared(ray, (store.out / f".{name}", store.zoo / f".{name}")):
        apart = _Apart(name, {path.name: path.read_bytes() for path in work.places.plugins})
    board = _on(ray, ray.remote(_Board), ray.get_runtime_context().get_node_id(), name=name)
    board = board.remote()
    refs: dict[Question, Any] = {}
    for question in questions:
        before = [one for one in _ancestors(question) if one in refs or apart]
        for one in before:
            if one not in refs:
                refs[one] = ray.put(_Done(None, store.files(one)))
        refs[question] = ask.remote(
            question, work, name, apart, before, *(refs[one] for one in before)
        )
    asked = {refs[question]: question for question in questions}
    failed: set[Question] = set()
    with Display(len(questions), watch) as display:
        try:
            while asked:
                ended, _ = ray.wait([*asked], num_returns=len(asked), timeout=0.5)
                for who, sign in ray.get(board.take.remote()).items():
                    display.show(who, sign)
                for ref in ended:
                    question = asked.pop(ref)
                    done, failure = _Done(None, {}), None
                    try:
                        done = ray.get(ref)
                    except ray.exceptions.RayTaskError as error:
                        raise error.cause from None
                    except ray.exceptions.RayError as error:
                        if failed.isdisjoint(_ancestors(question)):
                            why = f"its process or node died {_TRIES + 1} times"
                            failure = f"{key(question)}: {why} ({first_line(error)})"
                    store.take(question, done.files)
                    answered = Answered(question, failure=failure) if failure else done.answered
                    if answered is None or answered.failure is not None:
                        failed.add(question)
                    if answered is not None:
                        display.answered()
                        yield answered
        finally:
            for ref in asked:
                ray.cancel(ref)
            if asked:
                ray.wait([*asked], num_returns=len(asked), timeout=_PATIENCE)
            ray.shutdown()


def _store(work: Work) -> Any:
    return open_store(work.places, work.folder, Catalog(work.places.plugins), lambda line: None)


def _ancestors(question: Question) -> list[Question]:
    """All that the question is computed from, parents first."""
    found: dict[Question, None] = {}
    for parent in parents(question):
        found |= dict.fromkeys([*_ancestors(parent), parent])
    return list(found)


def _shared(ray: Any, marks: Sequence[Path]) -> bool:
    """Whether every node sees the files of these paths, which are made and removed again."""
    for mark in marks:
        mark.touch()
    try:
        nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
        saw = [_on(ray, ray.remote(_sees), node).remote(tuple(marks)) for node in nodes]
        return all(ray.get(saw))
    finally:
        for mark in marks:
            mark.unlink()


def _on(ray: Any, remote: Any, node: str, **options: Any) -> Any:
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    place = NodeAffinitySchedulingStrategy(node, soft=False)
    return remote.options(num_cpus=0, scheduling_strategy=place, **options)


class _Board:
    """The latest sign of each process."""

    def __init__(self) -> None:
        self._signs: dict[str, Sign] = {}

    def put(self, who: str, sign: Sign) -> None:
        self._signs[who] = sign

    def take(self) -> dict[str, Sign]:
        """The signs since the last call."""
        taken, self._signs = self._signs, {}
        return taken


# --- in the task's process


def _sees(paths: tuple[Path, ...]) -> bool:
    return all(path.exists() for path in paths)


def _ask(
    question: Question,
    work: Work,
    board: str,
    apart: _Apart | None,
    before: Sequence[Question],
    *done: _Done,
) -> _Done:
    """Answer a question after those ``before`` it, whose tasks are ``done``."""
    if any(one.answered is not None and one.answered.failure is not None for one in done):
        return _Done(None, {})
    # Ray cancels by this signal, which a driver in the background would have had ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    keep_freed_memory()
    if work.threads is not None:
        torch.set_num_threads(work.threads)
    if apart is not None:
        work = apart.work(work)
        for one, its in zip(before, done, strict=True):
            _store(work).take(one, its.files)
    answered = answer(question, work, _progress(board))
    return _Done(answered, {} if apart is None else _store(work).files(question))


@cache
def _progress(board: str) -> Sent:
    put = import_module("ray").get_actor(board).put
    who = f"{platform.node()}, process {os.getpid()}"
    return Sent(lambda sign: put.remote(who, sign))
