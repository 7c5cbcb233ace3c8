"""Bringing files that a person already has into the data folder."""

import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path

from robench.contracts import DataError, Progress
from robench.data import parquet
from robench.data.cifar import Cifar, named
from robench.data.layouts import Archive, Layout, Parquet, locate


def import_files(
    name: str, source: Path, root: Path, progress: Progress, link: bool = False
) -> tuple[Path, ...]:
    """Check ``cifar10`` or ``cifar100`` in ``source`` and copy it into the folder ``root``.

    ``source`` is the published archive, a Parquet file (``train-*`` or ``test-*``), or a folder
    with the batches or Parquet files. With ``link``, the files are linked instead of copied.
    Returns where they are now. Raises DataError where they are not what they should be, or cannot
    be written.
    """
    cifar = named(name)
    places = _checked(cifar, source, root, progress)
    for file, place in places.items():
        _put(file, place, link)
    return tuple(places.values())


def _checked(cifar: Cifar, source: Path, root: Path, progress: Progress) -> Mapping[Path, Path]:
    """Every file to bring in, and where it goes."""
    if source.is_file() and source.suffix == ".parquet":
        part = source.name.partition("-")[0]
        if part not in ("train", "test"):
            raise DataError(f"{source}: expected a name that begins with train- or test-")
        parquet.read(cifar, (source,), progress, part)
        return _parquet_places(cifar, (source,), root)
    layout = _layout(cifar, source)
    layout.read(progress)
    match layout:
        case Archive():
            return {layout.path: root / cifar.archive[0]}
        case Parquet():
            return _parquet_places(cifar, layout.files, root)
        case _:
            return {file: root / cifar.folder / file.name for file in layout.files}


def _layout(cifar: Cifar, source: Path) -> Layout:
    if source.is_dir():
        return locate(cifar, source)
    if not source.exists():
        raise DataError(f"{source} does not exist; give a file or folder with {cifar.name}")
    if not source.name.endswith((".tar.gz", ".tgz")):
        raise DataError(
            f"{source} is none of what {cifar.name} comes in: "
            f"{cifar.archive[0]}, a .parquet file, or a folder"
        )
    return Archive(cifar, source)


def _parquet_places(cifar: Cifar, files: tuple[Path, ...], root: Path) -> Mapping[Path, Path]:
    folder = root / cifar.name
    places = {file: folder / file.name for file in files}
    for part in {file.name.partition("-")[0] for file in files}:
        for other in folder.glob(f"{part}-*.parquet"):
            if other not in places.values() and not _shards_of_one(other, files):
                raise DataError(f"{other} is there already and would be mixed in; remove it first")
    return places


def _shards_of_one(other: Path, files: tuple[Path, ...]) -> bool:
    """Whether the file belongs to the same numbered series as one of the files."""
    series = other.stem.rpartition("-of-")[2]
    return "-of-" in other.stem and any(file.stem.endswith(f"-of-{series}") for file in files)


def _put(file: Path, place: Path, link: bool) -> None:
    if place.exists() and place.samefile(file):
        return
    unfinished = place.with_name(f".{place.name}.{secrets.token_hex(4)}")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        if link:
            unfinished.symlink_to(file.resolve())
        else:
            shutil.copyfile(file, unfinished)
        unfinished.replace(place)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise DataError(f"{place} cannot be written ({error.strerror})") from None
