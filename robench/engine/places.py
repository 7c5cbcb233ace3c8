"""A bench, a store and a device at the places of a request."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import torch

from robench.catalog.catalog import Catalog
from robench.catalog.request import Places
from robench.catalog.revisions import changed_since
from robench.contracts import Progress
from robench.engine.bench import Bench
from robench.grid.spec import SpecError, nearest
from robench.store.store import Store, published


@dataclass(frozen=True)
class Work:
    """All that a process needs to answer questions.

    Places, the preset's results folder, the number of test images (None: all), and the threads of
    each process (None: as torch has it), which move last digits.
    """

    places: Places
    folder: Path
    limit: int | None = None
    threads: int | None = None


_EXECUTORS = {"ray": "ray"}  # the package that each needs

Say = Callable[[str], None]
"""Takes one line of a message."""


def make_bench(places: Places, folder: Path, progress: Progress, say: Say, warn: Say) -> Bench:
    """A bench at these places, with results in ``out`` or else in ``folder``; see `open_store`.

    Raises SpecError for a plug-in, a device or an executor that cannot be used.
    """
    if places.executor != "local" and find_spec(_EXECUTORS[places.executor]) is None:
        extra = f"robench[{places.executor}]"
        raise SpecError(f'executor {places.executor} needs more: pip install "{extra}"')
    catalog = Catalog(places.plugins)
    store = open_store(places, folder, catalog, warn)
    for path in changed_since():
        warn(f"{path} has changed since Python loaded it; start Python again to use it")
    device, older = find_device(places.device), places.accept_older_code
    bench = Bench(catalog, store, places.root, device, progress, say, older, places.debug)
    bench.work = Work(_everywhere(places), folder.absolute(), threads=_threads(places))
    return bench


def _threads(places: Places) -> int | None:
    if places.threads is None and places.executor == "ray":
        return max(1, int(dict(places.ray).get("cpus", 1)))
    if places.threads is None and places.workers > 1:
        return max(1, torch.get_num_threads() // places.workers)
    return places.threads


def _everywhere(places: Places) -> Places:
    """The places by names that mean the same in other processes."""
    out, plugins = places.out and places.out.absolute(), [p.absolute() for p in places.plugins]
    data, zoo = places.root.absolute(), places.zoo.absolute()
    return replace(places, out=out, zoo=zoo, data=data, plugins=tuple(plugins))


def open_store(places: Places, folder: Path, catalog: Catalog, warn: Say) -> Store:
    """The store with results in ``out``, or else in ``folder``.

    A published folder is only read, unless ``out`` names it: new cells go to ``<folder>.own``.
    """
    out, shelf = places.out or folder, None
    if places.out is None and published(folder):
        out, shelf = folder.with_name(f"{folder.name}.own"), folder
    return Store(out, places.zoo, warn, shelf=shelf, labels=catalog.labels)


def find_device(name: str) -> torch.device:
    """The device of that name; "auto" is the first GPU, or else the CPU.

    Raises SpecError for a device that is not there.
    """
    gpus = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    known = ["auto", "cpu", *(["cuda"] if gpus else []), *gpus]
    if name not in known:
        raise SpecError(f"no device '{name}'; {nearest(name, known)}")
    return torch.device(("cuda" if gpus else "cpu") if name == "auto" else name)
