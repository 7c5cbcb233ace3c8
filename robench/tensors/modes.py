"""Eval mode, frozen parameters, full precision and preserved random state, inside a block."""

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Generator, nn

_SHORTCUTS = {
    "cuda": ("matmul",),
    "cudnn": ("conv", "rnn"),
    "mkldnn": ("matmul", "conv", "rnn"),
}


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Put ``module`` and everything in it into eval mode; each gets its own mode back."""
    before = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        # Not train(): it would switch on the parts that a frozen backbone keeps in eval mode.
        for part, training in before:
            part.training = training


@contextmanager
def only_evaluating(module: nn.Module, error: type[Exception]) -> Iterator[None]:
    """Refuse every call of ``module``, or of a part of it, while any part is in train mode.

    Raises ``error`` at such a call. Copies of the module may train.
    """
    names = {id(part): name for name, part in module.named_modules()}

    def refuse(called: nn.Module, _: Any) -> None:
        for part in called.modules() if id(called) in names else ():
            if part.training:
                where = f" '{names[id(part)]}'" if names.get(id(part)) else ""
                raise error(
                    f"{type(part).__name__}{where} is in train mode while it should only be "
                    "evaluated; its numbers would not be those of a fixed model"
                )

    hooks = [part.register_forward_pre_hook(refuse) for part in module.modules()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Compute no gradients for the parameters of ``module``: no ``.grad`` is written.

    Each parameter gets its own ``requires_grad`` back.
    """
    before = [(parameter, parameter.requires_grad) for parameter in module.parameters()]
    for parameter, _ in before:
        parameter.requires_grad = False
    try:
        yield
    finally:
        for parameter, required in before:
            parameter.requires_grad = required


@contextmanager
def full_precision() -> Iterator[None]:
    """Multiply and convolve float32 as IEEE float32: no TF32, no bfloat16; settings are restored.

    Within, read no ``allow_tf32``: newer torch refuses to answer it beside ``fp32_precision``.
    """
    backends: Any = torch.backends  # its type stubs lag behind
    with ExitStack() as after:
        if hasattr(backends, "fp32_precision"):  # where it exists, the older switches may warn
            for library, kinds in _SHORTCUTS.items():
                for kind in kinds:
                    switch = getattr(getattr(backends, library), kind)
                    after.callback(setattr, switch, "fp32_precision", switch.fp32_precision)
                    switch.fp32_precision = "ieee"
        else:
            matmul = torch.get_float32_matmul_precision()
            after.callback(torch.set_float32_matmul_precision, matmul)
            after.callback(setattr, backends.cudnn, "allow_tf32", backends.cudnn.allow_tf32)
            torch.set_float32_matmul_precision("highest")
            backends.cudnn.allow_tf32 = False
        yield


@contextmanager
def usual_modes() -> Iterator[None]:
    """Autocast and inference mode off, gradients on, float32 by default; the caller's come back."""
    dtype, kinds = torch.get_default_dtype(), ("cpu", "cuda")
    cast = [torch.is_autocast_enabled(kind) for kind in kinds]
    torch.set_default_dtype(torch.float32)
    for kind in kinds:
        torch.set_autocast_enabled(kind, False)
    try:
        with torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        torch.set_default_dtype(dtype)
        for kind, enabled in zip(kinds, cast, strict=True):
            torch.set_autocast_enabled(kind, enabled)


@contextmanager
def preserved_random_state() -> Iterator[None]:
    """Give the global generators of torch (CPU, CUDA), numpy and Python their states back."""
    cpu, python = torch.get_rng_state(), random.getstate()
    numpy = np.random.get_state()  # noqa: NPY002 (the old generator is the one that others disturb)
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    try:
        yield
    finally:
        torch.set_rng_state(cpu)
        if cuda:
            torch.cuda.set_rng_state_all(cuda)
        np.random.set_state(numpy)  # noqa: NPY002
        random.setstate(python)


def draw_seed(generator: Generator) -> int:
    """A seed in 0..2^62 - 1 from ``generator``, for code that takes no generator."""
    drawn = torch.randint(2**62, (), generator=generator, device=generator.device)
    return int(drawn.item())
