"""Data sets by their specs: each is read once, and known again without being read."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import cache, partial
from pathlib import Path

from robench.contracts import Data, DataError, Dataset, Progress
from robench.data.cache import cached, digest_of, name_in
from robench.data.checks import check_data, unreadable
from robench.files import atomic_write, check_size, read_limited
from robench.grid.spec import Spec

_MOST_BYTES, _MOST_DATA = 2**24, 2**38  # of the memory, and of a file of data


class Sources:
    """The data sets in the folder ``root``; ``build`` makes one, ``code`` is a digest of its code.

    Whatever a data set does happens within ``stage``, which turns its errors into DataError.
    ``memory`` is a JSON file with the digests of what was loaded. A digest holds as long as the
    code and the files are the same, by their names, sizes and times.
    """

    def __init__(
        self,
        build: Callable[[Spec], Dataset],
        code: Callable[[Spec], object],
        root: Path,
        progress: Progress,
        memory: Path,
        stage: Callable[[Spec], AbstractContextManager[None]] = lambda name: nullcontext(),
    ) -> None:
        self._build, self._code, self._root, self._progress = build, code, root, progress
        self._stage = stage
        self._memory = memory
        self._found: dict[Spec, Sequence[Path] | None] = {}
        self._states: dict[Spec, str] = {}
        self._loaded: dict[Spec, Data] = {}
        self._digests: dict[tuple[Spec, str], str] = {}

    def load(self, name: Spec) -> Data:
        """The data set that a resolved spec describes. Raises DataError where it cannot be read."""
        if name not in self._loaded:
            files, state = self._files(name), self._state(name)
            with self._stage(name):
                build = partial(self._build(name).load, self._root, self._progress)
                data = cached(str(name), state, files, self._root, build) if files else build()
                check_data(data, str(name))
            self._loaded[name] = data
            self._digests.clear()  # those of this set were remembered, and are computed from now on
        return self._loaded[name]

    def digest(self, name: Spec, used: str, of: Callable[[Data], str]) -> str:
        """The digest ``of`` what is ``used`` of a data set.

        It is remembered; the set is loaded where its code or files have changed. "" where the files
        are missing. Raises DataError where they cannot be read.
        """
        if (name, used) not in self._digests:
            try:
                self._files(name)
            except DataError:
                return ""
            remembered, memory = f"{self._state(name)} {used}", _read(self._memory)
            found = None if name in self._loaded else memory.get(remembered)
            if found is None:
                found = of(self.load(name))
                if self._state(name) and memory.get(remembered) != found:
                    _write(self._memory, {**memory, remembered: found})
            self._digests[name, used] = found
        return self._digests[name, used]

    def _files(self, name: Spec) -> Sequence[Path] | None:
        if name not in self._found:
            with self._stage(name):
                self._found[name] = self._build(name).files(self._root)
        return self._found[name]

    def _state(self, name: Spec) -> str:
        """The digest of the code and the files; "" if it is not known which files are read."""
        files = self._files(name)
        if name not in self._states and files is not None:
            facts = [name_in(self._root, files), *_facts(files)] if files else []
            known = [str(name), self._code(name), _code_of_this_room(), *facts]
            self._states[name] = digest_of(known)
        return self._states.get(name, "")


def _facts(files: Sequence[Path]) -> Iterator[object]:
    start = len(os.path.commonpath(files))
    for path in files:
        try:
            status = check_size(path, _MOST_DATA)
        except OSError as error:
            raise unreadable(path, error) from None
        # The last is the system's own time of the last change, which nobody can set.
        yield str(path)[start:], status.st_size, status.st_mtime_ns, status.st_ctime_ns


@cache
def _code_of_this_room() -> str:
    files = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def _read(memory: Path) -> dict[str, str]:
    with suppress(OSError, ValueError):
        found = json.loads(read_limited(memory, _MOST_BYTES))
        if isinstance(found, dict):
            return {str(name): str(digest) for name, digest in found.items()}
    return {}


def _write(memory: Path, digests: dict[str, str]) -> None:
    with suppress(OSError), atomic_write(memory) as file:  # it is remembered only to save time
        file.write(json.dumps(digests, indent=1).encode())
