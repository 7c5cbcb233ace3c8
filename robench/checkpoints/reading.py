"""Tensors out of a file that may come from anywhere; nothing in it is ever run."""

import hashlib
import pickle
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from robench.spec import SpecError

CONTAINERS = ("state_dict", "model", "net", "P_state", "model_state_dict")
"""Under which entry the weights lie, first come first: solo-learn, lightly, ACL and DynACL save
``state_dict``, RoCL (src/utils.py:169-175) and AdvCL (pretraining_advCL.py:291-295) ``model``,
pytorch-cifar (main.py:140-144) and CLAE's Plain (Plain/main.py:267-271) ``net``; ACL reads
``P_state`` as well (train_trades.py:249-254).
"""

WRAPPERS = {"module", "_orig_mod"}
"""What DataParallel and torch.compile put into every name."""


@dataclass(frozen=True)
class Checkpoint:
    """The tensors of a file by name, and the names of the file's own entries.

    ``state`` also has what lies beside the weights, such as ``classifier.fc.weight``.
    """

    state: dict[str, Tensor]
    entries: frozenset[str]
    sha256: str


def read(path: Path) -> Checkpoint:
    """Read safetensors, or what torch.save wrote, on the CPU.

    Raises SpecError for a file that is missing, damaged, without tensors, or that would have to
    run code to be read.
    """
    try:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise SpecError(f"cannot read {path}: {error.strerror or error}") from None
    loaded = _safetensors(path) if path.suffix == ".safetensors" else _torch(path)
    if not isinstance(loaded, Mapping):
        raise SpecError(f"{path} holds a {type(loaded).__name__}, expected named weights")
    state = {
        ".".join(part for part in name.split(".") if part not in WRAPPERS): tensor
        for name, tensor in _tensors(loaded).items()
    }
    if not state:
        raise SpecError(f"{path} holds no named weights; its entries are {_few(loaded)}")
    return Checkpoint(state, frozenset(str(name) for name in loaded), sha256)


def _tensors(loaded: Mapping[Any, Any]) -> dict[str, Tensor]:
    chosen = [name for name in CONTAINERS if isinstance(loaded.get(name), Mapping)]
    if not chosen:
        return _named(loaded)
    found = _named(loaded[chosen[0]])
    for name, entry in loaded.items():
        # A classifier saved beside its encoder; an optimiser's state is no such thing.
        if name != chosen[0] and isinstance(entry, Mapping) and len(_named(entry)) == len(entry):
            found |= {f"{name}.{inner}": tensor for inner, tensor in _named(entry).items()}
    return found


def _named(entries: Mapping[Any, Any]) -> dict[str, Tensor]:
    return {
        name: value
        for name, value in entries.items()
        if isinstance(name, str) and isinstance(value, Tensor)
    }


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        loaded: dict[str, Tensor] = safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise SpecError(f"{path} is no safetensors file: {error}") from None
    return loaded


def _torch(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # on the pickle's age; what cannot be read is told below
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        wanted = re.search(r"GLOBAL (\S+)", str(error))
        what = f"it asks for {wanted[1]}" if wanted else "it holds more than tensors"
        raise SpecError(
            f"{path} is refused: reading it would run code ({what}); where you trust it, save its "
            "state dict alone with safetensors.torch.save_file and give that file"
        ) from None
    except Exception as error:  # a damaged file can make torch's reader raise anything
        first = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise SpecError(f"{path} is no checkpoint that torch can read: {first[:200]}") from None


def _few(names: Mapping[Any, Any]) -> str:
    return ", ".join(str(name) for name in list(names)[:6]) or "none"
