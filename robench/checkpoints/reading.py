"""Read tensors from a file that may come from anywhere; no code in it is run."""

import hashlib
import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from robench.files import first_line
from robench.grid.spec import SpecError

CONTAINERS = ("state_dict", "model", "net", "P_state", "model_state_dict")
"""Entries that hold the weights, the first come first: solo-learn, lightly, ACL and DynACL save
``state_dict``, RoCL (src/utils.py:169-175) and AdvCL (pretraining_advCL.py:291-295) ``model``,
pytorch-cifar (main.py:140-144) and CLAE's Plain (Plain/main.py:267-271) ``net``; ACL reads
``P_state`` as well (train_trades.py:249-254).
"""

WRAPPERS = {"module", "_orig_mod"}
"""Parts of names that DataParallel and torch.compile add."""


@dataclass(frozen=True)
class Checkpoint:
    """The tensors of a file by name, and the names of the file's own entries.

    ``state`` also has what lies beside the weights, such as ``classifier.fc.weight``.
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
    state = {
        ".".join(part for part in name.split(".") if part not in WRAPPERS): tensor
        for name, tensor in _tensors(loaded).items()
    }
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


def _tensors(loaded: Mapping[Any, Any]) -> dict[str, Tensor]:
    chosen = [name for name in CONTAINERS if isinstance(loaded.get(name), Mapping)]
    if not chosen:
        return _named(loaded)
    found = _named(loaded[chosen[0]])
    for name, entry in loaded.items():
        # A classifier saved beside its encoder, and no optimiser's state.
        if name != chosen[0] and isinstance(entry, Mapping) and len(_named(entry)) == len(entry):
            found |= {f"{name}.{inner}": tensor for inner, tensor in _named(entry).items()}
    return found


def _named(entries: Mapping[Any, Any]) -> dict[str, Tensor]:
    return {
        name: value
        for name, value in entries.items()
        if isinstance(name, str) and isinstance(value, Tensor)
    }


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
