"""A probe that touches its encoder gives no number."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
from batches import RUN
from torch import Generator, nn

from robench.catalog.catalog import Catalog
from robench.contracts import Data, Encoder, Probe, ProbeData, ProbeError, Run, Split
from robench.engine.probe import probe, trained
from robench.probes.linear import Linear
from robench.tensors.batchnorm import ADVERSARIAL, add_branch, use_branch
from robench.tensors.features import fingerprint, to_images
from robench.tensors.modes import preserved_random_state


@dataclass(frozen=True)
class Trainer(Probe):
    """Trains its backbone, a little."""

    def fit(self, encoder: Encoder, data: ProbeData, generator: Generator, run: Run) -> nn.Module:
        head = nn.utils.skip_init(nn.Linear, encoder.width, data.classes)
        nn.init.ones_(head.weight)
        descent = torch.optim.SGD(encoder.parameters(), lr=1e-3)
        head(encoder(to_images(data.train.images, "cpu"))).square().sum().backward()
        descent.step()
        return head


@dataclass(frozen=True)
class FinetuningTrainer(Trainer):
    """The same, and says so."""

    finetunes: ClassVar[bool] = True


@dataclass(frozen=True)
class Careless(Probe):
    """Looks at the images in train mode, which moves BatchNorm's statistics."""

    def fit(self, encoder: Encoder, data: ProbeData, generator: Generator, run: Run) -> nn.Module:
        encoder.train()
        with torch.no_grad():
            encoder(to_images(data.train.images, "cpu"))
        return nn.Dropout()


@dataclass(frozen=True)
class Switcher(Probe):
    """Leaves the encoder on another BatchNorm branch than it found it on."""

    def fit(self, encoder: Encoder, data: ProbeData, generator: Generator, run: Run) -> nn.Module:
        use_branch(encoder, ADVERSARIAL)
        return nn.Dropout()


@pytest.fixture
def encoder() -> Iterator[Encoder]:
    with preserved_random_state():
        torch.manual_seed(0)
        yield Catalog().build("encoders", "resnet8(width=4)")


@pytest.fixture
def data() -> Data:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (30, 3, 8, 8), dtype=np.uint8)
    labels = np.arange(30, dtype=np.int64) % 2
    parts = [Split(images[i : i + 10], labels[i : i + 10]) for i in (0, 10, 20)]
    return Data(*parts, classes=("zero", "one"))


def test_a_probe_that_trains_its_backbone_is_refused(encoder: Encoder, data: Data) -> None:
    with pytest.raises(ProbeError, match="Trainer changed the encoder"):
        probe(Trainer(), encoder, data, Generator(), RUN)


def test_a_probe_that_looks_in_train_mode_is_refused(encoder: Encoder, data: Data) -> None:
    before = fingerprint(encoder)
    with pytest.raises(ProbeError, match="ResNet8 is in train mode while it should only be"):
        probe(Careless(), encoder, data, Generator(), RUN)
    assert fingerprint(encoder) == before  # not even one batch was seen


def test_a_probe_that_switches_the_branch_is_refused(encoder: Encoder, data: Data) -> None:
    add_branch(encoder, ADVERSARIAL, momentum=0.1)
    with pytest.raises(ProbeError, match="Switcher changed the encoder"):
        probe(Switcher(), encoder, data, Generator(), RUN)


def test_the_classifier_comes_in_eval_mode(encoder: Encoder, data: Data) -> None:
    before = fingerprint(encoder)
    model = probe(Linear(strength=1.0), encoder, data, Generator(), RUN)
    assert not model.linear.training
    assert fingerprint(model.encoder) == fingerprint(encoder) == before
    assert model(torch.zeros(3, 3, 8, 8)).shape == (3, 2)


def test_a_finetuned_copy_is_what_is_evaluated(encoder: Encoder, data: Data) -> None:
    before = fingerprint(encoder)
    modes = [module.training for module in encoder.modules()]
    model = probe(FinetuningTrainer(), encoder, data, Generator(), RUN)
    assert fingerprint(encoder) == before
    assert [module.training for module in encoder.modules()] == modes
    assert fingerprint(model.encoder) != before
    assert not any(module.training for module in model.encoder.modules())
    assert trained(model, FinetuningTrainer()) is model
    assert trained(model, Linear()) is model.linear


def test_the_encoder_s_own_modes_return(encoder: Encoder, data: Data) -> None:
    encoder.train()
    first = next(m for m in encoder.modules() if isinstance(m, nn.BatchNorm2d))
    first.eval()
    modes = [module.training for module in encoder.modules()]
    probe(Linear(strength=1.0), encoder, data, Generator(), RUN)
    assert [module.training for module in encoder.modules()] == modes
    with pytest.raises(ProbeError):
        probe(Careless(), encoder, data, Generator(), RUN)
    assert [module.training for module in encoder.modules()] == modes


def test_the_number_of_classes_is_the_data_set_s(encoder: Encoder, data: Data) -> None:
    wider = dataclasses.replace(data, classes=("zero", "one", "never seen"))
    model = probe(Linear(strength=1.0), encoder, wider, Generator(), RUN)
    assert model(torch.zeros(3, 3, 8, 8)).shape == (3, 3)
