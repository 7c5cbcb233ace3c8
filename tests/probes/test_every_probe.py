"""What each file in robench/probes promises; a new file is under test without an edit here."""

import dataclasses
import random

import numpy as np
import pytest
import torch
from batches import RUN
from torch import Generator, Tensor, nn

from robench.catalog.catalog import Catalog
from robench.contracts import Data, Encoder, Probe, Split
from robench.engine.probe import probe as fitted
from robench.tensors.features import fingerprint, to_images

NAMES = [name for name in Catalog().names("probes") if name != "own"]  # it fits nothing
SHORT = {"epochs": 4, "batch": 16}
"""What the probes that see every image anew are given, so that a fit is not long."""


@pytest.fixture(params=NAMES)
def probe(request: pytest.FixtureRequest) -> Probe:
    kind = Catalog().component("probes", request.param)
    found: Probe = kind()
    return kind(**SHORT) if found.passes() > 0 else found


def part(count: int, seed: int) -> Split:
    """Three colours so far apart, in images so large, that neither attack nor crop hides them."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.int64) % 3
    colours = 60 + 140 * np.eye(3)[labels]
    images = colours[:, :, None, None] + rng.normal(0, 30, (count, 3, 10, 10))
    return Split(images.clip(0, 255).astype(np.uint8), labels)


@pytest.fixture
def data() -> Data:
    return Data(part(90, 1), part(31, 2), part(60, 3), ("red", "green", "blue"))


def fit(probe: Probe, encoder: Encoder, data: Data, seed: int = 4) -> nn.Sequential:
    return fitted(probe, encoder, data, Generator().manual_seed(seed), RUN)


def logits(model: nn.Module, data: Data) -> Tensor:
    with torch.no_grad():
        found: Tensor = model.eval()(to_images(data.test.images, "cpu"))
    return found


def test_the_folder_holds_the_probes_of_the_field() -> None:
    assert {"linear", "linear-adam", "linear-sgd", "robust-linear", "slf", "alf", "aff"} <= set(
        NAMES
    )


def test_only_full_finetuning_finetunes() -> None:
    finetuning = {name for name in NAMES if Catalog().component("probes", name).finetunes}
    assert finetuning == {"aff"}


@pytest.mark.parametrize("name", NAMES)
def test_it_is_a_frozen_value_of_plain_defaults(name: str) -> None:
    kind = Catalog().component("probes", name)
    assert kind() == kind()
    assert hash(kind()) == hash(kind())
    plain = (bool, int, float, str, type(None))
    assert all(isinstance(field.default, plain) for field in dataclasses.fields(kind))
    assert kind.__dataclass_params__.frozen


def test_it_gives_finite_logits_and_learns(probe: Probe, encoder: Encoder, data: Data) -> None:
    found = logits(fit(probe, encoder, data), data)
    assert found.shape == (len(data.test), 3)
    assert found.dtype == torch.float32
    assert found.isfinite().all()
    accuracy = (found.argmax(1).numpy() == data.test.labels).mean()
    assert accuracy > 0.6  # chance is a third


def test_it_leaves_the_encoder_and_its_mode(probe: Probe, encoder: Encoder, data: Data) -> None:
    encoder.train()
    before = fingerprint(encoder)
    fit(probe, encoder, data)
    assert fingerprint(encoder) == before
    assert all(module.training for module in encoder.modules())
    assert all(p.requires_grad and p.grad is None for p in encoder.parameters())


def test_its_dice_are_the_generator_alone(probe: Probe, encoder: Encoder, data: Data) -> None:
    first = fingerprint(fit(probe, encoder, data))
    torch.manual_seed(99)
    assert fingerprint(fit(probe, encoder, data)) == first


def test_it_leaves_the_global_random_state(probe: Probe, encoder: Encoder, data: Data) -> None:
    before = torch.get_rng_state(), repr(np.random.get_state()), random.getstate()  # noqa: NPY002
    fit(probe, encoder, data)
    after = torch.get_rng_state(), repr(np.random.get_state()), random.getstate()  # noqa: NPY002
    assert torch.equal(after[0], before[0])
    assert after[1:] == before[1:]


def test_it_never_sees_the_test_part(probe: Probe, encoder: Encoder, data: Data) -> None:
    other = dataclasses.replace(data, test=data.held_out)
    assert fingerprint(fit(probe, encoder, other)) == fingerprint(fit(probe, encoder, data))


def test_a_class_without_images_gets_a_logit(probe: Probe, encoder: Encoder, data: Data) -> None:
    wider = dataclasses.replace(data, classes=(*data.classes, "grey"))
    found = logits(fit(probe, encoder, wider), data)
    assert found.shape == (len(data.test), 4)
    assert (found.argmax(1) < 3).all()


def test_its_weights_can_be_stored_as_one_linear_layer(
    probe: Probe, encoder: Encoder, data: Data
) -> None:
    assert set(fit(probe, encoder, data).linear.state_dict()) == {"weight", "bias"}


def test_what_is_evaluated_is_in_eval_mode(probe: Probe, encoder: Encoder, data: Data) -> None:
    model = fit(probe, encoder, data)
    assert not any(module.training for part in model for module in part.modules())
    assert (model.encoder is encoder) != probe.finetunes
    assert all(p.grad is None or not p.requires_grad for p in model.parameters())
