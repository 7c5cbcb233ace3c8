"""What each file in robench/probes promises; a new file is under test without an edit here."""

import dataclasses
import random

import numpy as np
import pytest
import torch
from torch import Generator, Tensor, nn

from robench.catalog import Catalog
from robench.contracts import Data, Encoder, Probe
from robench.progress import silent
from robench.tensors.features import extract, fingerprint, to_images

NAMES = Catalog().names("probes")


@pytest.fixture(params=NAMES)
def probe(request: pytest.FixtureRequest) -> Probe:
    found: Probe = Catalog().build("probes", request.param)
    return found


def fit(probe: Probe, encoder: Encoder, data: Data, seed: int = 4) -> nn.Module:
    dice = Generator().manual_seed(seed)
    return probe.fit(encoder, data.train, data.held_out, len(data.classes), dice, silent)


def features(encoder: Encoder, data: Data) -> Tensor:
    return extract(encoder, [to_images(data.test.images, "cpu")])


def test_the_folder_holds_the_linear_probes() -> None:
    assert {"linear", "linear-adam", "linear-sgd"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_a_frozen_value_of_plain_defaults(name: str) -> None:
    kind = Catalog().component("probes", name)
    assert kind() == kind()
    assert hash(kind()) == hash(kind())
    plain = (bool, int, float, str, type(None))
    assert all(isinstance(field.default, plain) for field in dataclasses.fields(kind))
    assert kind.__dataclass_params__.frozen


def test_it_gives_finite_logits_and_learns(probe: Probe, encoder: Encoder, data: Data) -> None:
    logits = fit(probe, encoder, data)(features(encoder, data))
    assert logits.shape == (len(data.test), 3)
    assert logits.dtype == torch.float32
    assert logits.isfinite().all()
    accuracy = (logits.argmax(1).numpy() == data.test.labels).mean()
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
    logits = fit(probe, encoder, wider)(features(encoder, data))
    assert logits.shape == (len(data.test), 4)
    assert (logits.argmax(1) < 3).all()


def test_its_weights_can_be_stored_as_one_linear_layer(
    probe: Probe, encoder: Encoder, data: Data
) -> None:
    assert set(fit(probe, encoder, data).state_dict()) == {"weight", "bias"}
