"""In which shape CIFAR lies on disk: batches in a folder, the archive, or Parquet files."""

from dataclasses import dataclass
from pathlib import Path

from robench.contracts import Data, DataError, Progress, Split
from robench.data import batches, parquet
from robench.data.cache import remember
from robench.data.cifar import Cifar
from robench.data.splits import in_three


@dataclass(frozen=True)
class Batches:
    """The folder of pickles that torchvision unpacks."""

    cifar: Cifar
    folder: Path

    @property
    def files(self) -> tuple[Path, ...]:
        return tuple(self.folder / name for name, _ in (*self.cifar.train, *self.cifar.test))

    def read(self, progress: Progress) -> tuple[Split, Split]:
        return batches.read_folder(self.cifar, self.folder)


@dataclass(frozen=True)
class Archive:
    """The ``.tar.gz`` as published."""

    cifar: Cifar
    path: Path

    @property
    def files(self) -> tuple[Path, ...]:
        return (self.path,)

    def read(self, progress: Progress) -> tuple[Split, Split]:
        return batches.read_archive(self.cifar, self.path)


@dataclass(frozen=True)
class Parquet:
    """The files of the Hugging Face copies."""

    cifar: Cifar
    train: tuple[Path, ...]
    test: tuple[Path, ...]

    @property
    def files(self) -> tuple[Path, ...]:
        return (*self.train, *self.test)

    def read(self, progress: Progress) -> tuple[Split, Split]:
        train = parquet.read(self.cifar, self.train, progress, "train")
        return train, parquet.read(self.cifar, self.test, progress, "test")


Layout = Batches | Archive | Parquet


def locate(cifar: Cifar, root: Path) -> Layout:
    """Which layout the folder ``root`` has, without reading it.

    Batches go before the archive and that before Parquet: what is quicker to read and has published
    checksums first. Raises DataError where there is none, or only a part of one.
    """
    for folder in (root / cifar.folder, root):
        if all(path.is_file() for path in Batches(cifar, folder).files):
            return Batches(cifar, folder)
    archive = root / cifar.archive[0]
    if archive.is_file():
        return Archive(cifar, archive)
    for folder in _parquet_folders(cifar, root):
        found = _parquet(cifar, folder)
        if found:
            return found
    raise _missing(cifar, root)


def load(cifar: Cifar, root: Path, progress: Progress) -> Data:
    """CIFAR from whichever layout is found in ``root``, decoded once (see `remember`).

    Every layout gives the same images in the same order. Raises DataError where the files are
    missing, damaged or not what they should be.
    """
    layout = locate(cifar, root)

    def build() -> Data:
        train, test = layout.read(progress)
        return in_three(train, test, cifar.classes)

    return remember(cifar.name, layout.files, root, build)


def _parquet_folders(cifar: Cifar, root: Path) -> list[Path]:
    own = root / cifar.name
    inside = ("", "plain_text", "data", cifar.name)  # as the copies on the hub have had it
    return [*(own / name for name in inside), root / "plain_text", root / "data", root]


def _parquet(cifar: Cifar, folder: Path) -> Parquet | None:
    train, test = parquet.shards(folder, "train"), parquet.shards(folder, "test")
    if bool(train) != bool(test):
        there, missing = ("train", "test") if train else ("test", "train")
        raise DataError(
            f"{folder} has {there}-*.parquet but no {missing}-*.parquet; "
            f"{cifar.name} needs both, so put the other beside it"
        )
    return Parquet(cifar, tuple(train), tuple(test)) if train else None


def _missing(cifar: Cifar, root: Path) -> DataError:
    way_out = (
        f"{cifar.way_out(root)}, set ROBENCH_DATA to the folder that has it, "
        f"or use {cifar.stand_in}, which needs no files"
    )
    folder = root / cifar.folder
    if folder.is_dir():
        files = Batches(cifar, folder).files
        lost = ", ".join(path.name for path in files if not path.is_file())
        return DataError(f"{cifar.name} is incomplete: {folder} has no {lost}; {way_out}")
    return DataError(
        f"{cifar.name} is not in {root} (looked for {cifar.folder}/, {cifar.archive[0]} and "
        f"{cifar.name}/train-*.parquet); {way_out}"
    )
