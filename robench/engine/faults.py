"""Faults of components: found where a contract is broken, and told in one line.

A line names the component, its file and line, and what its contract expects.
"""

import inspect
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from robench.catalog.catalog import Catalog
from robench.contracts import Encoder
from robench.files import first_line
from robench.tensors.modes import evaluating

EXPECTED = {
    "methods": "an objective returns the loss of a batch, a scalar tensor",
    "encoders": "an encoder returns features float32 [B, width] of images float32 [B, 3, H, W]",
    "probes": "fit() returns a module from features [B, D] to logits [B, classes]",
    "attacks": "an attack returns Attacked(images), float32 [B, 3, H, W] as it was given",
    "datasets": "load() returns Data: three parts, with uint8 images [n, 3, H, W] and labels [n]",
    "metrics": "a metric returns a number",
}
"""The contract of each kind in a few words."""


class ContractError(Exception):
    """A component broke its contract; the message names it."""


def blame(error: BaseException, catalog: Catalog, kind: str, name: str) -> str:
    """A line on an error and the component whose code was running, and those that called it.

    ``kind`` and ``name`` are of the component that is named where the traceback has no other.
    Raises an OSError again that comes from none: a disk may be full.
    """
    running: dict[tuple[str, str], str] = {}
    for frame in traceback.extract_tb(error.__traceback__):
        if owner := catalog.owner(frame.filename):
            running.pop(owner, None)  # the innermost comes last
            running[owner] = f"{frame.filename}:{frame.lineno}"
    if not running:
        if isinstance(error, OSError):
            raise error
        found = catalog.component(kind, name)
        running[kind, name] = f"{inspect.getfile(found)}:{inspect.getsourcelines(found)[1]}"
    chain = [f"{kind[:-1]} {name} ({place})" for (kind, name), place in reversed(running.items())]
    (kind, _), *_ = reversed(running)
    by = ", called by "
    return f"{by.join(chain)}: {type(error).__name__}: {first_line(error)}; {EXPECTED[kind]}"


def broken(component: object, method: str, what: str) -> str:
    """A line on a component whose method does ``what``, with the place of the method."""
    code = getattr(inspect.unwrap(getattr(type(component), method)), "__code__", None)
    place = f" ({code.co_filename}:{code.co_firstlineno})" if code is not None else ""
    return f"{type(component).__name__} {what}{place}"


def shown(value: object) -> str:
    """The type of a value, and the shape of a tensor."""
    if not isinstance(value, Tensor):
        return type(value).__name__
    gradient = " with a gradient" if value.requires_grad else ""
    return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}{gradient}"


def check_encoder(encoder: Encoder, images: Tensor) -> None:
    """Try an encoder on ``images`` [B, 3, H, W], and on the first alone.

    Raises ContractError where it does not return float32 [B, width] with a gradient to the images,
    or writes into them.
    """
    for batch in (images, images[:1]):
        given = batch.clone().requires_grad_() * 1  # torch itself refuses to write into a leaf
        with evaluating(encoder), torch.enable_grad():
            version, features = given._version, encoder(given)
        expected = [len(batch), encoder.width]
        what = None
        if given._version != version:
            what = "writes into its images; it should leave them as they are"
        elif not isinstance(features, Tensor) or (
            (features.dtype, list(features.shape)) != (torch.float32, expected)
        ):
            found = features.detach() if isinstance(features, Tensor) else features
            what = f"returned {shown(found)} for {len(batch)} images; expected float32 {expected}"
        elif not features.requires_grad:
            what = "returned features without a gradient to the images"
        if what is not None:
            raise ContractError(broken(encoder, "forward", what))


def not_finite(tensors: Mapping[str, Tensor]) -> str | None:
    """The name of the first tensor with a number that is not finite, if there is one."""
    return next((name for name, tensor in tensors.items() if not tensor.isfinite().all()), None)


_SWITCHES: Mapping[str, tuple[Callable[[], Any], Callable[[Any], object]]] = {
    "torch's grad mode": (torch.is_grad_enabled, torch.set_grad_enabled),
    "torch's default dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "torch's number of threads": (torch.get_num_threads, torch.set_num_threads),
    "autocast": (
        partial(torch.is_autocast_enabled, "cpu"),
        partial(torch.set_autocast_enabled, "cpu"),
    ),
}
_HOOKS = "_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks"
_OWN = "training", "branch", "forward", "_parameters", "_buffers", "_modules", *_HOOKS


@contextmanager
def unchanged(module: nn.Module, fault: Callable[[str], Exception]) -> Iterator[None]:
    """Raise ``fault(what)`` where the block leaves ``module`` or torch's switches changed.

    All is put back, however the block ends: parameters and buffers with their type and layout,
    layers, hooks, train and eval mode, BatchNorm branches.
    """
    switches = {name: read() for name, (read, _) in _SWITCHES.items()}
    parts = [(name, part, _own(part)) for name, part in module.named_modules()]
    named = [*module.named_parameters(), *module.named_buffers()]
    tensors = [(name, t, t.requires_grad, t.detach().clone()) for name, t in named]
    changed: list[str] = []
    try:
        yield
    finally:
        for name, (read, write) in _SWITCHES.items():
            if read() != switches[name]:
                write(switches[name])
                changed.append(name)
        for name, part, own in parts:
            changed += [
                f"{what.strip('_')} of {name or 'the model'}" for what in _put_back(part, own)
            ]
        for name, tensor, required, kept in tensors:
            if not _same(tensor, kept):
                tensor.data = kept
                changed.append(name)
            tensor.requires_grad_(required)
    if changed:
        raise fault(changed[0])


def _own(part: nn.Module) -> dict[str, Any]:
    own = {name: vars(part)[name] for name in _OWN if name in vars(part)}
    return {name: dict(v) if isinstance(v, dict) else v for name, v in own.items()}


def _put_back(part: nn.Module, own: Mapping[str, Any]) -> list[str]:
    now = _own(part)
    changed = [name for name in _OWN if _identity(now.get(name)) != _identity(own.get(name))]
    for name in changed:
        value = own.get(name)
        if isinstance(value, dict):  # in place: handles of hooks hold on to it
            vars(part)[name].clear()
            vars(part)[name].update(value)
        elif name in own:
            vars(part)[name] = value
        else:
            del vars(part)[name]
    return changed


def _identity(value: Any) -> Any:
    return {k: id(v) for k, v in value.items()} if isinstance(value, dict) else value


def _same(tensor: Tensor, kept: Tensor) -> bool:
    layouts = [(t.dtype, t.device, t.shape, t.stride()) for t in (tensor, kept)]
    return layouts[0] == layouts[1] and torch.equal(tensor, kept)
