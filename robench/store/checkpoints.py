"""Checkpoints of unfinished work.

```
FOLDER/<number>-<hash>.safetensors    a state; the highest number is the newest
```

The hash of a file's content is in its name. Two files are kept: if the newest is damaged, the one
before it serves. No file is ever unpickled.
"""

import hashlib
import json
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from robench.contracts import Accept, Checkpoints, State, any_state
from robench.files import atomic_write, first_line, read_limited, remove

EVERY = 30.0
"""Seconds between two states: with the time to write one, less than a minute can be lost."""

_KEPT = 2
_MOST_BYTES = 2**34
_NAME = r"\d{8}-[0-9a-f]{16}\.safetensors"
_OWN = rf"{_NAME}|\.{_NAME}\.[0-9a-f]{{8}}"  # the latter is left where a process is killed

SafePoint = Callable[[Callable[[], None]], None]
"""Called with a function that saves, where the work can stop; it stops there if it was asked to."""


class FileCheckpoints(Checkpoints):
    """The checkpoints of one piece of work, in a folder of its own.

    ``about`` says what the states depend on, such as the data: states of other work are not used.
    ``say`` gets a line for everything found or gone wrong.
    """

    def __init__(
        self,
        folder: Path,
        about: Mapping[str, str],
        say: Callable[[str], None],
        safe_point: SafePoint = lambda save: None,
    ) -> None:
        self._folder, self._about, self._say = folder, dict(about), say
        self._safe_point = safe_point
        self._start = self._saved = time.monotonic()  # unmoved when the clock jumps
        self._before = 0.0

    @property
    def seconds(self) -> float:
        """The time that the work has taken so far, including before an interruption."""
        return self._before + time.monotonic() - self._start

    def load(self, accept: Accept = any_state) -> State | None:
        """Load the newest valid checkpoint; log and delete those that are damaged or do not fit."""
        for path in reversed(self._files()):
            try:
                header, state = _read(path)
                about, seconds = dict(header["about"]), float(header["seconds"])
                names = self._about.keys() | about.keys()
                other = sorted(name for name in names if self._about.get(name) != about.get(name))
                if not other:
                    accept(state)
            except Exception as error:  # a zoo may be somebody else's, and its files say anything
                reason = first_line(error)
                self._say(f"{path} is damaged ({reason}); going on from the one before it, if any")
                with suppress(OSError):
                    path.unlink()
                continue
            if other:
                self._say(f"{path} has another {' and '.join(other)} than now; starting anew")
                return None
            self._before = seconds
            self._say(f"going on from {path}")
            return state
        return None

    def save_if_due(self, state: Callable[[], State]) -> None:
        """Save the state if the last one is old enough, or the process was asked to stop."""
        if time.monotonic() - self._saved >= EVERY:
            self._save(state())
        self._safe_point(lambda: self._save(state()))

    def latest(self) -> Path | None:
        """The newest file, if there is one."""
        return next(reversed(self._files()), None)

    def clear(self) -> None:
        """Remove all states: the work is finished."""
        remove(self._folder, _OWN)

    def _save(self, state: State) -> None:
        files = self._files()
        number = int(files[-1].name[:8]) + 1 if files else 1
        data = _encoded(state, {"about": self._about, "seconds": round(self.seconds, 3)})
        digest = hashlib.sha256(data).hexdigest()[:16]
        try:
            if self._linked():
                raise OSError("it is behind a link")
            with atomic_write(self._folder / f"{number:08}-{digest}.safetensors") as file:
                file.write(data)
            for outdated in files[: 1 - _KEPT]:
                outdated.unlink()
        except OSError as error:
            # Hours of work are not given up because their state cannot be written.
            self._say(
                f"cannot save a checkpoint in {self._folder}: {error.strerror or error}; going on, "
                "but not safe from an interruption"
            )
        self._saved = time.monotonic()

    def _files(self) -> list[Path]:
        """The states, the newest last; none behind a link, where others' files may be."""
        found = [] if self._linked() else self._folder.glob("*.safetensors")
        return sorted(path for path in found if re.fullmatch(_NAME, path.name))

    def _linked(self) -> bool:
        return self._folder.is_symlink() or self._folder.parent.is_symlink()


class Loaded(Checkpoints):
    """Checkpoints that another process saves: this one only goes on from them."""

    def __init__(self, saved: Checkpoints) -> None:
        self.load = saved.load  # type: ignore[method-assign]


def _encoded(state: State, header: Mapping[str, Any]) -> bytes:
    strides = {name: tensor.stride() for name, tensor in state.tensors.items()}
    content = json.dumps({**header, "values": dict(state.values), "strides": strides})
    # Copies: tensors that share memory cannot be written.
    copies = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in state.tensors.items()
    }
    return safetensors.torch.save(copies, {"state": content})


def _read(path: Path) -> tuple[dict[str, Any], State]:
    data = read_limited(path, _MOST_BYTES)
    if hashlib.sha256(data).hexdigest()[:16] != path.name[9:25]:
        raise ValueError("its hash differs from its name")
    length = int.from_bytes(data[:8], "little")
    header = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["state"])
    tensors = safetensors.torch.load(data)
    strided = {name: _restrided(t, header["strides"][name]) for name, t in tensors.items()}
    return header, State(strided, header["values"])


def _restrided(tensor: Tensor, strides: list[int]) -> Tensor:
    # Not only for speed: a sum takes its terms in the order of memory, and so rounds by it.
    return torch.empty_strided(tensor.shape, strides, dtype=tensor.dtype).copy_(tensor)
