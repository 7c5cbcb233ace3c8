"""Read tensors from a file that may come from anywhere; no code in it is run."""

import hashlib
import pickle
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from robench.files import check_size, first_line
from robench.grid.spec import SpecError

WRAPPERS = {"module", "_orig_mod"}
"""Parts of names that DataParallel and torch.compile add."""

_MOST_BYTES = 2**38
_DEEPEST = 8  # entries within entries; nobody nests more


@dataclass(frozen=True)
class Checkpoint:
    """The tensors of a file by name, and the names of the file's own entries.

    A name begins with the entries that its tensor lies in, such as ``state_dict_ema.conv1.weight``,
    but for those that all tensors lie in.
    """

    state: dict[str, Tensor]
    entries: frozenset[str]
    sha256: str


def read(path: Path) -> Checkpoint:
    """Read safetensors, or what torch.save wrote, on the CPU; the content says which.

    Raises SpecError for a file that is missing, damaged or without tensors, and for one that can
    only be read by running code.
    """
    try:
        check_size(path, _MOST_BYTES)
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            size = file.tell()
            file.seek(0)
            begin = file.read(9)
    except OSError as error:
        raise SpecError(f"cannot read {path}: {first_line(error)}") from None
    # Safetensors begin with the length of a JSON object, and that.
    safe = begin[8:] == b"{" and int.from_bytes(begin[:8], "little") < size
    if safe or path.suffix == ".safetensors":
        loaded: Any = _safetensors(path)
    else:
        loaded = _torch(path, zipped=begin.startswith(b"PK\x03\x04"))
    if not isinstance(loaded, Mapping):
        raise SpecError(f"{path} holds a {type(loaded).__name__}, expected named weights")
    state: dict[str, Tensor] = {}
    for name, tensor in _tensors(loaded):
        short = unwrapped(name)
        if short in state:
            raise SpecError(f"{path}: two weights are named {short}, such as {name}")
        state[short] = tensor
    for name, tensor in state.items():
        strided = tensor.layout == torch.strided and tensor.device.type == "cpu"
        if not strided or tensor.is_quantized or tensor.is_complex():
            raise SpecError(f"{path}: {name[:80]} is not a plain tensor of numbers")
        if tensor.nbytes > size:
            raise SpecError(f"{path}: {name[:80]} says it has {tensor.nbytes:,} bytes of {size:,}")
    if not state:
        entries = ", ".join(str(name)[:40] for name in list(loaded)[:6]) or "none"
        raise SpecError(f"{path} holds no named weights; its entries are {entries}")
    return Checkpoint(state, frozenset(str(name) for name in loaded), sha256)


def unwrapped(name: str) -> str:
    """The name without the parts that wrappers add."""
    return ".".join(part for part in name.split(".") if part not in WRAPPERS)


def _tensors(loaded: Mapping[Any, Any]) -> Iterator[tuple[str, Tensor]]:
    """Every named tensor at any depth, but for states of random generators, which are bytes."""
    found: list[tuple[tuple[str, ...], str, Tensor]] = []
    left: list[tuple[tuple[str, ...], Mapping[Any, Any]]] = [((), loaded)]
    seen = {id(loaded)}  # a file may hold the same entry twice, or within itself
    for place, entries in left:
        for name, entry in entries.items():
            if not isinstance(name, str):  # an optimizer's
                continue
            if isinstance(entry, Tensor) and entry.dtype != torch.uint8:
                found.append((place, name, entry))
            elif isinstance(entry, Mapping) and len(place) < _DEEPEST and id(entry) not in seen:
                seen.add(id(entry))
                left.append(((*place, name), entry))
    levels = zip(*(place for place, _, _ in found), strict=False)
    shared = len(list(takewhile(lambda level: len(set(level)) == 1, levels)))
    return ((".".join((*place[shared:], name)), tensor) for place, name, tensor in found)


def _safetensors(path: Path) -> Any:
    try:
        return safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise SpecError(f"{path} is not a safetensors file: {first_line(error)}") from None


def _torch(path: Path, zipped: bool) -> Any:
    try:
        if zipped:
            with zipfile.ZipFile(path) as archive:
                kinds = {member.compress_type for member in archive.infolist()}
            if kinds - {zipfile.ZIP_STORED}:
                raise SpecError(f"{path} is a compressed zip, which torch.save never writes")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on the pickle's age
            # Mapped, because torch 2.6 otherwise reads past the end of a tensor's file in the zip
            # where the pickle says that there is more of it.
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except SpecError:
        raise
    except pickle.UnpicklingError as error:
        wanted = re.search(r"GLOBAL (\S+)", str(error))
        what = f"it asks for {wanted[1]}" if wanted else "it holds more than tensors"
        raise SpecError(
            f"{path} is refused: reading it would run code ({what}); where you trust it, save its "
            "state dict alone with safetensors.torch.save_file and give that file"
        ) from None
    except Exception as error:  # a damaged file can make torch's reader raise anything
        reason = first_line(error)
        raise SpecError(f"{path} is not a checkpoint that torch can read: {reason}") from None
