"""Versions, devices and data of this machine, and how to get what is missing."""

from collections.abc import Iterator
from pathlib import Path

import torch

from robench.contracts import DataError
from robench.data.cifar import CIFARS, locate
from robench.store.provenance import commit, describe, versions


def examine(root: Path) -> Iterator[str]:
    """Line by line: versions, devices, and the data sets in the folder ``root``."""
    yield f"robench at commit {commit()}" if commit() else "robench, not in a checkout"
    for package, version in versions().items():
        missing = f"missing; pip install {package}" if version == "missing" else version
        yield f"  {package:12} {missing}"
    yield "devices"
    yield f"  {describe(torch.device('cpu'))}, {torch.get_num_threads()} threads"
    for index in range(torch.cuda.device_count()):
        yield f"  {describe(torch.device('cuda', index))}"
    if not torch.cuda.is_available():
        yield "  no GPU that torch can see; everything runs on the CPU"
    yield f"data in {root.absolute()}"
    yield "  shapes10, shapes100: embedded, always there"
    for name, cifar in CIFARS.items():
        try:
            files = locate(cifar, root)
            yield f"  {name}: {', '.join(str(file.relative_to(root)) for file in files)}"
        except DataError as error:
            yield f"  {name}: missing; {error}"
