"""A probe that touches its encoder gives no number."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pytest
import torch
from batches import RUN, probe_data
from torch import Generator, Tensor, nn

from robench.catalog.catalog import Catalog
from robench.contracts import Data, Encoder, Probe, ProbeData, ProbeError, Run, Split
from robench.engine.probe import probe, rebuilt, trained
from robench.probes.linear import Linear
from robench.tensors.batchnorm import ADVERSARIAL, add_branch, use_branch
from robench.tensors.features import extract, fingerprint, to_images
from robench.tensors.modes import preserved_random_state


@dataclass(frozen=True)
class Trainer(Probe):
    """Trains its backbone, a little."""

    def fit(self, encoder: Encoder, data: ProbeData, generator: Generator, run: Run) -> nn.Module:
        head = nn.utils.skip_init(nn.Linear, encoder.width, data.classes)
        nn.init.ones_(head.weight)
        nn.init.zeros_(head.bias)
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


@pytest.mark.parametrize(
    ("method", "words"),
    [
        (Trainer(), "Trainer changed the encoder"),
        (Switcher(), "Switcher changed the encoder"),
        (Careless(), "is in train mode while it should only be"),
    ],
    ids=str,
)
def test_a_probe_that_touches_its_encoder_is_refused(
    encoder: Encoder, data: Data, method: Probe, words: str
) -> None:
    add_branch(encoder, ADVERSARIAL, momentum=0.1)
    before, modes = fingerprint(encoder), [module.training for module in encoder.modules()]
    with pytest.raises(ProbeError, match=words):
        probe(method, encoder, probe_data(data), Generator(), RUN)
    if isinstance(method, Careless):
        assert fingerprint(encoder) == before  # not even one batch was seen
    assert [module.training for module in encoder.modules()] == modes


def test_the_classifier_comes_in_eval_mode_and_the_encoder_s_own_modes_return(
    encoder: Encoder, data: Data
) -> None:
    first = next(m for m in encoder.train().modules() if isinstance(m, nn.BatchNorm2d))
    first.eval()
    before, modes = fingerprint(encoder), [module.training for module in encoder.modules()]
    model = probe(Linear(strength=1.0), encoder, probe_data(data), Generator(), RUN)
    assert not model.linear.training
    assert [module.training for module in encoder.modules()] == modes
    assert fingerprint(model.encoder) == fingerprint(encoder) == before
    assert model(torch.zeros(3, 3, 8, 8)).shape == (3, 2)


def test_a_finetuned_copy_is_what_is_evaluated(encoder: Encoder, data: Data) -> None:
    before = fingerprint(encoder)
    modes = [module.training for module in encoder.modules()]
    model = probe(FinetuningTrainer(), encoder, probe_data(data), Generator(), RUN)
    assert fingerprint(encoder) == before
    assert [module.training for module in encoder.modules()] == modes
    assert fingerprint(model.encoder) != before
    assert not any(module.training for module in model.encoder.modules())
    assert trained(model, FinetuningTrainer()) is model
    assert trained(model, Linear()) is model.linear


@dataclass(frozen=True)
class Noting(Probe):
    """Notes what it is given."""

    seen: list[tuple[ProbeData, Run]] = field(default_factory=list)

    def fit(self, encoder: Encoder, data: ProbeData, generator: Generator, run: Run) -> nn.Module:
        self.seen.append((data, run))
        return nn.Identity()


def test_a_probe_is_given_the_train_and_held_out_parts_and_no_test_image(
    encoder: Encoder, data: Data
) -> None:
    noting = Noting()
    probe(noting, encoder, probe_data(data), Generator(), RUN)
    (((found, run)),) = noting.seen
    assert found.classes == 2
    assert found.train is data.train
    assert found.held_out is data.held_out
    assert run is RUN


@dataclass(frozen=True)
class Nearest(Probe):
    """One that is not linear: the nearest stored feature; it rebuilds from its bank."""

    def fit(self, encoder: Encoder, data: ProbeData, generator: Generator, run: Run) -> nn.Module:
        features = extract(encoder, [to_images(data.train.images, run.device)])
        return Bank(features, nn.functional.one_hot(torch.tensor(data.train.labels)).float())

    def rebuild(self, width: int, classes: int, weights: Mapping[str, Tensor]) -> nn.Module:
        return Bank(weights["features"], weights["labels"])


class Bank(nn.Module):
    def __init__(self, features: Tensor, labels: Tensor) -> None:
        super().__init__()
        self.register_buffer("features", features)
        self.register_buffer("labels", labels)

    def forward(self, features: Tensor) -> Tensor:
        return self.labels[torch.cdist(features, self.features).argmin(1)]


@pytest.mark.parametrize("method", [Linear(strength=1.0), FinetuningTrainer(), Nearest()], ids=str)
def test_a_classifier_is_rebuilt_from_what_was_trained(
    encoder: Encoder, data: Data, method: Probe
) -> None:
    encoder.eval()
    images = to_images(data.test.images, "cpu")
    model = probe(method, encoder, probe_data(data), Generator(), RUN)
    weights = trained(model, method).state_dict()
    again = rebuilt(method, encoder, 2, weights)
    assert torch.equal(again(images), model(images))
    assert not any(part.training for part in again.modules())
    for broken in ({}, {name: tensor[:1] for name, tensor in weights.items() if tensor.dim()}):
        if not isinstance(method, Nearest) or not broken:
            with pytest.raises(ProbeError, match=f"{type(method).__name__} has weights that do n"):
                rebuilt(method, encoder, 2, broken)
