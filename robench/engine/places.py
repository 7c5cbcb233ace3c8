"""A bench, a store and a device at the places of a request."""

from collections.abc import Callable
from pathlib import Path

import torch

from robench.catalog.catalog import Catalog
from robench.catalog.request import Places
from robench.contracts import Progress
from robench.engine.bench import Bench
from robench.grid.spec import SpecError, nearest
from robench.store.store import Store, published

Say = Callable[[str], None]
"""Takes one line of a message."""


def make_bench(places: Places, folder: Path, progress: Progress, say: Say, warn: Say) -> Bench:
    """A bench at these places, with results in ``out`` or else in ``folder``; see `open_store`.

    Raises SpecError for a plug-in or a device that cannot be used.
    """
    catalog = Catalog(places.plugins)
    store = open_store(places, folder, catalog, warn)
    return Bench(catalog, store, places.root, find_device(places.device), progress, say)


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
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        hint = nearest(name, ["auto", "cpu", "cuda", "cuda:0"])
        raise SpecError(f"no device '{name}'; {hint}") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise SpecError(f"device '{name}' is not there: torch sees {count} GPUs; use --device cpu")
    if device.type not in ("cpu", "cuda"):
        raise SpecError(f"device '{name}' is not supported; choose auto, cpu, cuda or cuda:0")
    return device
