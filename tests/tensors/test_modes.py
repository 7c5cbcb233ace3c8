"""Each mode holds inside and leaves everything as it was, also when something goes wrong."""

import copy
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from torch import Generator, nn

from robench.tensors.modes import (
    draw_seed,
    evaluating,
    frozen,
    full_precision,
    only_evaluating,
    preserved_random_state,
)


class TroubleError(Exception):
    """Something that goes wrong inside a mode."""


@contextmanager
def surviving(trouble: bool) -> Iterator[None]:
    try:
        yield
        if trouble:
            raise TroubleError
    except TroubleError:
        pass


either_way = pytest.mark.parametrize("trouble", [False, True], ids=["calm", "trouble"])


def parts() -> nn.Sequential:
    """A module half in train and half in eval mode, with one frozen parameter."""
    module = nn.Sequential(nn.BatchNorm2d(3), nn.Sequential(nn.Dropout(), nn.Conv2d(3, 2, 1)))
    module[0].eval()
    module[0].weight.requires_grad = False
    return module


@either_way
def test_evaluating_restores_every_part_s_own_mode(trouble: bool) -> None:
    module = parts()
    before = {name: part.training for name, part in module.named_modules()}
    assert set(before.values()) == {True, False}
    with surviving(trouble), evaluating(module):
        assert not any(part.training for part in module.modules())
        if trouble:
            raise TroubleError
    assert {name: part.training for name, part in module.named_modules()} == before


@either_way
def test_only_evaluating_refuses_every_way_to_call_in_train_mode(trouble: bool) -> None:
    module, image = parts().eval(), torch.zeros(2, 3, 4, 4)
    with surviving(trouble), only_evaluating(module, TroubleError):
        module(image)
        module[1].train()
        with pytest.raises(TroubleError, match="Sequential '1' is in train mode"):
            module(image)
        with pytest.raises(TroubleError, match="'1"):
            module[1](image)
        with pytest.raises(TroubleError, match=r"Dropout '1\.0' is in"):
            module[1][0](image)
        module[0](image)
        copy.deepcopy(module)(image)
        module.eval()(image)
        if trouble:
            raise TroubleError
    module.train()(image)
    assert not any(part._forward_pre_hooks for part in module.modules())


@either_way
def test_frozen_restores_every_parameter_s_own_flag(trouble: bool) -> None:
    module = parts()
    before = {name: p.requires_grad for name, p in module.named_parameters()}
    assert set(before.values()) == {True, False}
    with surviving(trouble), frozen(module):
        assert not any(p.requires_grad for p in module.parameters())
        if trouble:
            raise TroubleError
    assert {name: p.requires_grad for name, p in module.named_parameters()} == before


def precisions() -> tuple[str, ...]:
    if not hasattr(torch.backends, "fp32_precision"):
        return (torch.get_float32_matmul_precision(), str(torch.backends.cudnn.allow_tf32))
    backends = torch.backends
    switches = [
        backends.cuda.matmul,
        backends.cudnn.conv,
        backends.cudnn.rnn,
        backends.mkldnn.matmul,
        backends.mkldnn.conv,
        backends.mkldnn.rnn,
    ]
    return tuple(switch.fp32_precision for switch in switches)


FULL = ("ieee",) * 6 if hasattr(torch.backends, "fp32_precision") else ("highest", "False")


@pytest.fixture
def default_precision() -> Iterator[None]:
    yield
    torch.set_float32_matmul_precision("highest")


@either_way
@pytest.mark.usefixtures("default_precision")
@pytest.mark.parametrize("matmul", ["highest", "high", "medium"])
def test_full_precision_switches_shortcuts_off_and_back(matmul: str, trouble: bool) -> None:
    torch.set_float32_matmul_precision(matmul)
    before = precisions()
    assert before != FULL
    with surviving(trouble), full_precision():
        assert precisions() == FULL
        if trouble:
            raise TroubleError
    assert precisions() == before
    assert torch.get_float32_matmul_precision() == matmul


def draws() -> tuple[float, float, float]:
    return torch.rand(()).item(), float(np.random.rand()), random.random()  # noqa: NPY002


@either_way
def test_preserved_random_state_hides_every_draw(trouble: bool) -> None:
    with preserved_random_state():
        expected = draws()
    with surviving(trouble), preserved_random_state():
        torch.manual_seed(1)
        np.random.seed(2)  # noqa: NPY002
        random.seed(3)
        assert draws() != expected
        if trouble:
            raise TroubleError
    assert draws() == expected
    assert draws() != expected


def test_seeds_come_from_the_generator_alone() -> None:
    dice = Generator().manual_seed(5)
    with preserved_random_state():
        torch.manual_seed(0)
        first, second = draw_seed(dice), draw_seed(dice)
    assert first != second
    assert draw_seed(Generator().manual_seed(5)) == first
    assert 0 <= min(first, second) <= max(first, second) < 2**62
