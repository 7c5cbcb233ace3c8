"""What lies in a data folder, and whether it is whole."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from robench.contracts import DataError, Progress, Split
from robench.data.checks import md5
from robench.data.cifar import Cifar, named
from robench.data.layouts import Layout, Parquet, locate

_FULL = {"train": 50_000, "test": 10_000}  # of CIFAR-10 as of CIFAR-100


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; ``str()`` is its line."""

    what: str
    ok: bool
    detail: str

    def __str__(self) -> str:
        return f"{'ok ' if self.ok else 'BAD'} {self.what}: {self.detail}"


def verify(name: str, root: Path, progress: Progress) -> tuple[Finding, ...]:
    """Check every file of ``cifar10`` or ``cifar100`` in ``root``, and decode every image.

    What is missing or damaged is a finding that is not ok. Raises DataError for another name.
    """
    cifar = named(name)
    try:
        layout = locate(cifar, root)
        findings = tuple(_file(cifar, layout, path) for path in layout.files)
        if not all(finding.ok for finding in findings):
            return findings
        train, test = layout.read(progress)
    except DataError as error:
        return (Finding(name, False, str(error)),)
    return (*findings, _part(cifar, "train", train), _part(cifar, "test", test))


def _file(cifar: Cifar, layout: Layout, path: Path) -> Finding:
    found = md5(path)
    if isinstance(layout, Parquet):
        return Finding(str(path), True, f"MD5 {found} (Parquet copies have no published one)")
    published = dict((cifar.archive, *cifar.train, *cifar.test))
    expected = published[path.name]
    detail = f"MD5 {found}, as published" if found == expected else f"MD5 {found}, not {expected}"
    return Finding(str(path), found == expected, detail)


def _part(cifar: Cifar, part: str, split: Split) -> Finding:
    counts = np.bincount(split.labels, minlength=len(cifar.classes))
    subset = "" if len(split) == _FULL[part] else f" (the full set has {_FULL[part]:,})"
    absent = [name for name, count in zip(cifar.classes, counts, strict=True) if count == 0]
    low, high = counts.min(), counts.max()
    spread = (
        f"none of {', '.join(absent[:5])}{' ...' if len(absent) > 5 else ''}"
        if absent
        else f"{low:,}{f' to {high:,}' if high > low else ''} in each of {len(counts)} classes"
    )
    return Finding(f"{cifar.name} {part}", not absent, f"{len(split):,} images{subset}, {spread}")
