"""What each file in robench/probes promises; a new file is under test without an edit here."""

import copy
import dataclasses
import random
from functools import cache
from typing import NamedTuple

import numpy as np
import pytest
import torch
from batches import RUN, Small, probe_data
from torch import Generator, Tensor, nn

from robench.catalog.catalog import Catalog
from robench.contracts import Data, Encoder, Probe, Split
from robench.engine.probe import probe as fitted
from robench.tensors.features import fingerprint, to_images
from robench.tensors.modes import evaluating, preserved_random_state

CATALOG = Catalog()
NAMES = [name for name in CATALOG.names("probes") if name != "own"]  # which fits nothing
SHORT = {"epochs": 4, "batch": 16}
"""What the probes that see every image anew are given, so that a fit is not long."""


def part(count: int, seed: int) -> Split:
    """Three colours so far apart, in images so large, that neither attack nor crop hides them."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.int64) % 3
    colours = 60 + 140 * np.eye(3)[labels]
    images = colours[:, :, None, None] + rng.normal(0, 30, (count, 3, 10, 10))
    return Split(images.clip(0, 255).astype(np.uint8), labels)


DATA = Data(part(90, 1), part(31, 2), part(60, 3), ("red", "green", "blue"))
IMAGES = to_images(DATA.test.images, "cpu")


def make(name: str) -> Probe:
    kind = CATALOG.component("probes", name)
    found: Probe = kind()
    return kind(**SHORT) if found.passes() > 0 else found


@cache
def small() -> Encoder:
    with preserved_random_state():
        torch.manual_seed(0)
        return Small().eval()


def fit(name: str, data: Data) -> nn.Sequential:
    return fitted(
        make(name), copy.deepcopy(small()), probe_data(data), Generator().manual_seed(4), RUN
    )


class Fit(NamedTuple):
    """A classifier, and the encoder and global random states before and after its fit."""

    model: nn.Sequential
    encoder: Encoder
    logits: Tensor
    states: list[tuple[Tensor, str, object]]


@cache
def first(name: str) -> Fit:
    """The fit that promises are read from, with an encoder in train mode."""
    encoder, states = copy.deepcopy(small()).train(), []
    for last in (False, True):
        numpy = repr(np.random.get_state())  # noqa: NPY002
        states.append((torch.get_rng_state(), numpy, random.getstate()))
        if not last:
            model = fitted(make(name), encoder, probe_data(DATA), Generator().manual_seed(4), RUN)
    with evaluating(model):
        return Fit(model, encoder, logits(model), states)


def logits(model: nn.Module) -> Tensor:
    with torch.no_grad():
        found: Tensor = model(IMAGES)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_it_is_a_frozen_value_of_plain_defaults(name: str) -> None:
    kind = CATALOG.component("probes", name)
    assert kind() == kind()
    assert hash(kind()) == hash(kind())
    plain = (bool, int, float, str, type(None))
    assert all(isinstance(field.default, plain) for field in dataclasses.fields(kind))
    assert kind.__dataclass_params__.frozen


def test_only_full_finetuning_finetunes() -> None:
    assert [name for name in NAMES if CATALOG.component("probes", name).finetunes] == ["aff"]


@pytest.mark.parametrize("name", NAMES)
def test_it_learns_a_linear_layer_and_is_in_eval_mode(name: str) -> None:
    found, linear = first(name).logits, first(name).model.linear
    assert found.shape == (len(DATA.test), 3)
    assert found.dtype == torch.float32
    assert found.isfinite().all()
    assert (found.argmax(1).numpy() == DATA.test.labels).mean() > 0.6  # chance is a third
    kept = {"bank", "labels"} if name == "knn" else {"weight", "bias"}
    assert set(linear.state_dict()) == kept
    assert not linear.training


@pytest.mark.parametrize("name", NAMES)
def test_it_leaves_the_encoder_its_mode_and_the_global_random_state(name: str) -> None:
    model, encoder, _, (before, after) = first(name)
    assert torch.equal(after[0], before[0])
    assert after[1:] == before[1:]
    assert fingerprint(encoder) == fingerprint(small())
    assert all(module.training for module in encoder.modules())
    assert all(p.requires_grad and p.grad is None for p in encoder.parameters())
    if CATALOG.component("probes", name).finetunes:
        assert fingerprint(model.encoder) != fingerprint(encoder)
        assert not any(module.training for module in model.encoder.modules())


@pytest.mark.parametrize("name", NAMES)
def test_neither_the_test_part_nor_the_global_state_has_a_share_in_it(name: str) -> None:
    torch.manual_seed(99)
    again = fit(name, dataclasses.replace(DATA, test=DATA.held_out))
    assert fingerprint(again) == fingerprint(first(name).model)


@pytest.mark.parametrize("name", NAMES)
def test_a_class_without_images_gets_a_logit(name: str) -> None:
    found = logits(fit(name, dataclasses.replace(DATA, classes=(*DATA.classes, "grey"))))
    assert found.shape == (len(DATA.test), 4)
    assert (found.argmax(1) < 3).all()
