"""The promises of a data set."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from robench.checks import toys
from robench.contracts import Data, Dataset
from robench.data import splits
from robench.data.checks import check_data
from robench.engine.faults import ContractError, broken, shown
from robench.engine.progress import silent

_MOST_SHARED = 0.01  # of the test images; CIFAR-10 and -100 have a few as well


@dataclass
class Loaded:
    """A data set, and the data that it loads from the folder ``root``."""

    dataset: Dataset
    root: Path
    name: str

    @cached_property
    def data(self) -> Data:
        """The data, loaded once."""
        return self.load()

    def load(self) -> Data:
        """The data, loaded anew."""
        data = self.dataset.load(self.root, silent)
        check_data(data, self.name)
        return data


def _parts(data: Data) -> Iterator[tuple[str, set[bytes]]]:
    for name, part in (("train", data.train), ("held_out", data.held_out), ("test", data.test)):
        yield name, {image.tobytes() for image in part.images}


def files(loaded: Loaded) -> None:
    """Its files() are paths of files that exist, () for a drawn set, or None."""
    found = loaded.dataset.files(loaded.root)
    for path in found or ():
        if not isinstance(path, Path) or not path.exists():
            what = f"lists {path!r}, which is no file" if isinstance(path, Path) else ""
            what = what or f"lists {shown(path)} {path!r}; expected a Path"
            raise ContractError(broken(loaded.dataset, "files", what))


def loads(loaded: Loaded) -> None:
    """It loads three parts of uint8 images of one size, with a label in 0..K-1 each."""
    assert loaded.data


def same(loaded: Loaded) -> None:
    """It loads the same images every time, and leaves the global random states alone."""
    with toys.without_global_draws(
        lambda name: broken(loaded.dataset, "load", f"draws from {name}; use a seed of its own")
    ):
        again = loaded.load()
    for name in ("train", "held_out", "test"):
        parts = (getattr(data, name) for data in (loaded.data, again))
        first, second = map(splits.digest, parts)
        if first != second:
            what = f"loads other images or labels each time, in the part {name}"
            raise ContractError(broken(loaded.dataset, "load", what))


def apart(loaded: Loaded) -> None:
    """No image of the test part is in another part too."""
    known = dict(_parts(loaded.data))
    for name in ("train", "held_out"):
        shared = len(known["test"] & known[name])
        if shared > _MOST_SHARED * len(known["test"]):
            what = f"has {shared} of its {len(known['test'])} test images in the part {name} too"
            raise ContractError(broken(loaded.dataset, "load", what))


PROMISES = files, loads, same, apart
