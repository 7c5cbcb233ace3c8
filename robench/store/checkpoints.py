"""How far long work is, on disk: its latest states, each whole or refused.

```
FOLDER/<number>-<hash>.safetensors    a state; the highest number is the latest
```

The hash of a file's bytes is in its name. Two are kept: where the latest is damaged, the one before
it serves. Of what stays the same from state to state, a file only says in which older file it is,
and that one stays too. No file is ever unpickled.
"""

import hashlib
import json
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from robench.contracts import State
from robench.files import atomic_write, read_limited
from robench.store.stopping import Stop

EVERY = 30.0
"""Seconds between two states: with what it takes to write one, less than a minute can be lost."""

_KEPT = 2
_WASTE = 3
"""Older files may be so many times as large as what is still needed of them."""
_MOST_BYTES = 2**34
_NAME = re.compile(r"(\d{8})-([0-9a-f]{16})\.safetensors\Z")


class States:
    """The states of one piece of work, in a folder of its own.

    ``about`` is what the states depend on beside the work's name, such as the data: those of
    something else are not gone on from. ``say`` is told, in a line, what was found or went wrong.
    """

    def __init__(
        self,
        folder: Path,
        about: Mapping[str, str],
        say: Callable[[str], None],
        stop: Stop | None = None,
    ) -> None:
        self._folder, self._about, self._say = folder, dict(about), say
        self._stop = stop or Stop()
        self._start = self._kept = time.monotonic()  # no jump of the clock reaches it
        self._before = 0.0
        self._unkept: Callable[[], State] | None = None
        self._troubled = False
        self._written: dict[str, tuple[Tensor, Path]] = {}

    @property
    def seconds(self) -> float:
        """How long the work has taken so far, with what it took before it was interrupted."""
        return self._before + time.monotonic() - self._start

    def load(self) -> State | None:
        """The latest state that is whole and fits, or None; damaged ones are told of, and go."""
        for unfinished in self._folder.glob(".*"):  # of a process that was killed while writing
            with suppress(OSError):
                unfinished.unlink()
        for path in reversed(self._files()):
            try:
                header, state, self._written = _read(path)
            except Exception as error:  # a zoo may be somebody else's, and its files say anything
                self._say(f"{path} is damaged ({error}); going on from the one before it, if any")
                with suppress(OSError):
                    path.unlink()
                continue
            other = sorted(
                name
                for name in self._about.keys() | header["about"].keys()
                if self._about.get(name) != header["about"].get(name)
            )
            if other:
                self._say(f"{path} has another {' and '.join(other)} than now; starting anew")
                self._written = {}
                return None
            self._before = header["seconds"]
            self._say(f"going on from {path}")
            return state
        return None

    def save_if_due(self, state: Callable[[], State]) -> None:
        """Keep the state where the last one was kept long enough ago, or the process is to stop."""
        self._unkept = state
        if self._stop.asked or time.monotonic() - self._kept >= EVERY:
            self._keep(state())
        self._stop.happen()

    @contextmanager
    def kept_when_stopped(self) -> Iterator[None]:
        """Keep the latest state on the way out, where the process is told to stop within.

        For work whose ``state()`` stays what it was while the work goes on.
        """
        try:
            yield
        except Exception:
            raise
        except BaseException:
            if self._unkept is not None:
                self._keep(self._unkept())
            raise

    def latest(self) -> Path | None:
        """The file of the latest state, if there is one."""
        return next(reversed(self._files()), None)

    def clear(self) -> None:
        """Remove all states: the work is finished."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _keep(self, state: State) -> None:
        files = self._files()
        number = int(files[-1].name[:8]) + 1 if files else 1
        older = self._older(state)
        header = {"about": self._about, "seconds": round(self.seconds, 3)}
        data = _encoded(state, header, {name: path.name for name, path in older.items()})
        digest = hashlib.sha256(data).hexdigest()[:16]
        path = self._folder / f"{number:08}-{digest}.safetensors"
        try:
            with atomic_write(path) as file:
                file.write(data)
            fixed = state.fixed.items()
            self._written = {name: (tensor, older.get(name, path)) for name, tensor in fixed}
            needed = {path.name, *_older_files(path)}
            for before in files[1 - _KEPT :]:
                needed |= {before.name, *_older_files(before)}
            for outdated in files:
                if outdated.name not in needed:
                    outdated.unlink()
        except OSError as error:
            # Hours of work are not given up because how far they are cannot be written down.
            if not self._troubled:
                self._say(
                    f"cannot keep the state of the work in {self._folder}: "
                    f"{error.strerror or error}; going on, but not safe from an interruption"
                )
            self._troubled = True
        self._kept, self._unkept = time.monotonic(), None

    def _older(self, state: State) -> dict[str, Path]:
        """Where fixed tensors of the state are already; nowhere, if that wasted too much room."""
        older = {
            name: path
            for name, (tensor, path) in self._written.items()
            if state.fixed.get(name) is tensor
        }
        needed = sum(state.fixed[name].nbytes for name in older)
        try:
            held = sum(path.stat().st_size for path in set(older.values()))
        except OSError:
            return {}
        return older if held <= _WASTE * needed + 2**20 else {}

    def _files(self) -> list[Path]:
        """The states, the latest last."""
        return sorted(path for path in self._folder.glob("*") if _NAME.match(path.name))


def _encoded(
    state: State, header: Mapping[str, Any], older: Mapping[str, str] = MappingProxyType({})
) -> bytes:
    """A state's file, without the fixed tensors that are in ``older`` files, by name."""
    here = {name: tensor for name, tensor in state.fixed.items() if name not in older}
    tensors = {**state.tensors, **here}
    if len(tensors) != len(state.tensors) + len(here):
        raise ValueError("a fixed tensor has another one's name")
    strides = {name: tensor.stride() for name, tensor in tensors.items()}
    places: dict[str, list[str]] = {"": list(here)}
    for name, file in older.items():
        places.setdefault(file, []).append(name)
    header = {**header, "values": dict(state.values), "strides": strides, "fixed": places}
    # Copies: tensors that share memory cannot be written.
    contiguous = torch.contiguous_format
    copies = {
        name: tensor.detach().cpu().clone(memory_format=contiguous)
        for name, tensor in tensors.items()
    }
    return safetensors.torch.save(copies, {"state": json.dumps(header)})


def _read(path: Path) -> tuple[dict[str, Any], State, dict[str, tuple[Tensor, Path]]]:
    """A file's header and state, and where each of its fixed tensors is."""
    header, tensors = _content(path)
    if not isinstance(header["about"], dict) or not isinstance(header["values"], dict):
        raise ValueError("its header is no state's")
    header["seconds"] = float(header["seconds"])
    fixed: dict[str, tuple[Tensor, Path]] = {}
    for file, names in header.get("fixed", {}).items():
        place = path.with_name(file) if file else path
        if not _NAME.fullmatch(place.name):
            raise ValueError("it leads to what is no state")
        held = _content(place)[1] if file else tensors
        fixed |= {name: (held[name], place) for name in names}
    own = {name: tensor for name, tensor in tensors.items() if name not in fixed}
    found = {name: tensor for name, (tensor, _) in fixed.items()}
    return header, State(own, header["values"], found), fixed


def _content(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    data = read_limited(path, _MOST_BYTES)
    if not path.name[9:].startswith(hashlib.sha256(data).hexdigest()[:16]):
        raise ValueError(f"the hash of {path.name} differs from its name's")
    header = _header(data)
    tensors = {
        name: _restrided(tensor, header["strides"][name])
        for name, tensor in safetensors.torch.load(data).items()
    }
    return header, tensors


def _header(data: bytes) -> dict[str, Any]:
    length = int.from_bytes(data[:8], "little")
    header: dict[str, Any] = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["state"])
    return header


def _older_files(path: Path) -> set[str]:
    """The names of the older files that a state needs; none where it is damaged."""
    try:
        with path.open("rb") as file:
            head = file.read(8)
            return set(_header(head + file.read(int.from_bytes(head, "little"))).get("fixed", {}))
    except Exception:  # what such a file may say has no bounds, and it is of no use then
        return set()


def _restrided(tensor: Tensor, strides: list[int]) -> Tensor:
    # Not only for speed: a sum takes its terms in the order of memory, and so rounds by it.
    if list(tensor.stride()) == strides:
        return tensor
    last = sum((side - 1) * step for side, step in zip(tensor.shape, strides, strict=True))
    if min(strides, default=0) < 0 or last >= max(tensor.numel(), 1):
        raise ValueError("its numbers lie further apart than there are any")
    return torch.empty_strided(tensor.shape, strides, dtype=tensor.dtype).copy_(tensor)
