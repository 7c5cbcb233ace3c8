"""slf, alf and robust-linear: the authors' steps written out, and an encoder that stays put."""

import numpy as np
import pytest
import torch
from batches import RUN, probe_data
from torch import Generator, Tensor, nn
from torch.nn.functional import cross_entropy, pad

from robench.contracts import Data, Encoder, Split
from robench.engine.probe import probe as fitted
from robench.probes.alf import ALF
from robench.probes.linear import Linear
from robench.probes.robust_linear import RobustLinear
from robench.probes.slf import SLF
from robench.tensors.features import to_images

EPS, STEP = 8 / 255, 2 / 255


def test_the_authors_defaults() -> None:
    for probe in (SLF(), ALF()):
        assert (probe.lr, probe.epochs, probe.batch, probe.decay) == (0.01, 25, 512, "10,20")
        assert (probe.momentum, probe.weight_decay) == (0.9, 2e-4)
    assert (ALF().eps, ALF().step_size, ALF().steps) == (8 / 255, 2 / 255, 10)
    robust = RobustLinear()
    assert (robust.lr, robust.epochs, robust.batch) == (0.1, 150, 1024)
    assert (robust.momentum, robust.weight_decay, robust.decay) == (0.9, 5e-4, "31,51,101")
    assert (robust.eps, robust.step_size, robust.steps) == (0.0314, 0.007, 10)


def climb(
    model: nn.Module, images: Tensor, labels: Tensor, eps: float, step: float, steps: int, dice
) -> Tensor:
    """PGD in plain words, an image at a time after the draw."""
    starts = images + torch.empty_like(images).uniform_(-eps, eps, generator=dice)
    found = []
    for image, label, start in zip(images, labels, starts, strict=True):
        x = start.clamp(0, 1)
        for _ in range(steps):
            x = x.clone().requires_grad_()
            scores = model(x[None])[0]
            loss = scores.exp().sum().log() - scores[label]
            (gradient,) = torch.autograd.grad(loss, x)
            with torch.no_grad():
                x = x + step * gradient.sign()
                x = torch.minimum(torch.maximum(x, image - eps), image + eps).clamp(0, 1)
        found.append(x)
    return torch.stack(found)


def test_pgd_is_the_climb_in_plain_words(encoder: Encoder) -> None:
    layer = nn.utils.skip_init(nn.Linear, encoder.width, 3)
    nn.init.normal_(layer.weight, generator=Generator().manual_seed(1))
    nn.init.zeros_(layer.bias)
    model = nn.Sequential(encoder, layer).double().eval()
    images = torch.rand(6, 3, 6, 6, generator=Generator().manual_seed(2), dtype=torch.float64)
    labels = torch.arange(6) % 3
    dice, same = (Generator().manual_seed(3) for _ in range(2))
    ours = ALF().attacked(model, images, labels, dice, 10)
    assert torch.equal(dice.get_state(), same.get_state()) is False
    expected = climb(model, images, labels, EPS, STEP, 10, same)
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-12)
    assert (ours - images).abs().max() == pytest.approx(EPS)
    with torch.no_grad():
        assert cross_entropy(model(ours), labels) > cross_entropy(model(images), labels)


def view(images: Tensor, dice: Generator) -> Tensor:
    """Crop after a border of 4 black pixels, then flip, an image at a time after the draws."""
    offsets = torch.randint(9, (2, len(images), 1, 1), generator=dice)
    flips = torch.rand(len(images), generator=dice) < 0.5
    size, found = images.shape[2:], []
    for image, top, left, flip in zip(images, *offsets.flatten(1), flips, strict=True):
        window = pad(image, [4, 4, 4, 4])[:, top : top + size[0], left : left + size[1]]
        found.append(window.flip(2) if flip else window)
    return torch.stack(found)


@pytest.mark.parametrize(
    ("probe", "crops", "attack"),
    [
        (SLF(epochs=3, batch=50, decay="1"), True, None),
        (ALF(epochs=3, batch=50, decay="1", lr=0.05), True, (EPS, STEP, 10)),
        (RobustLinear(epochs=3, batch=50, decay="1"), False, (0.0314, 0.007, 10)),
    ],
    ids=["slf", "alf", "robust-linear"],
)
def test_the_fit_is_the_authors_loop_written_out(
    encoder: Encoder, data: Data, probe: SLF | ALF | RobustLinear, crops: bool, attack
) -> None:
    dice, same = (Generator().manual_seed(5) for _ in range(2))
    layer = probe.fit(encoder, probe_data(data), dice, RUN)
    images = to_images(np.concatenate([data.train.images, data.held_out.images]), "cpu")
    labels = torch.tensor(np.concatenate([data.train.labels, data.held_out.labels]))
    width, bound = encoder.width, encoder.width**-0.5
    weight, bias = torch.zeros(3, width), torch.zeros(3)
    if isinstance(probe, RobustLinear):
        weight.uniform_(-bound, bound, generator=same)
        bias.uniform_(-bound, bound, generator=same)
    both = torch.cat([weight, bias[:, None]], 1).requires_grad_()

    def model(x: Tensor) -> Tensor:
        return encoder(x) @ both[:, :-1].T + both[:, -1]

    velocity = torch.zeros_like(both)
    for epoch in range(3):
        for rows in torch.randperm(len(images), generator=same).split(50):
            seen = view(images[rows], same) if crops else images[rows]
            if attack is not None:
                seen = climb(model, seen, labels[rows], *attack, same)
            (gradient,) = torch.autograd.grad(cross_entropy(model(seen), labels[rows]), both)
            with torch.no_grad():
                velocity = 0.9 * velocity + gradient + probe.weight_decay * both
                both -= probe.lr * 0.1 ** (epoch >= 1) * velocity
    torch.testing.assert_close(layer.weight, both[:, :-1].detach(), rtol=0, atol=1e-4)
    torch.testing.assert_close(layer.bias, both[:, -1].detach(), rtol=0, atol=1e-4)


SHORT = [SLF(epochs=2), ALF(epochs=2), RobustLinear(epochs=2)]


@pytest.mark.parametrize("probe", SHORT, ids=["slf", "alf", "robust-linear"])
def test_the_encoder_is_in_eval_mode_whenever_it_is_called(
    encoder: Encoder, data: Data, probe: SLF | ALF | RobustLinear
) -> None:
    modes = []
    norm = encoder.layers[1]
    norm.register_forward_hook(lambda module, *_: modes.append(module.training))
    encoder.train()
    probe.fit(encoder, probe_data(data), Generator(), RUN)
    assert set(modes) == {False}
    batches = 1 if isinstance(probe, SLF) else 11
    assert len(modes) == 2 * batches
    # An attack's pass goes back as well; one without gradients is half of that.
    assert probe.passes() == 2 * (batches - 0.5)


class Pixels(Encoder):
    """Each pixel is a feature."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((1,), 8.0))
        self.width = 48

    def forward(self, images: Tensor) -> Tensor:
        return self.scale * (images.flatten(1) - 0.5)


def two_kinds_of_evidence(count: int, seed: int) -> Split:
    """One pixel that is right 19 times in 20 and large; 47 that are right and smaller than eps.

    After Tsipras et al. (2019, arXiv 1805.12152, section 2.1).
    """
    rng = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.int64) % 2
    side = 2 * labels - 1
    images = 128 + 4 * side[:, None] + rng.normal(0, 5, (count, 48))
    images[:, 0] = 128 + 50 * side * np.where(rng.random(count) < 0.95, 1, -1)
    return Split(images.round().clip(0, 255).astype(np.uint8).reshape(-1, 3, 4, 4), labels)


def test_robust_linear_withstands_what_linear_does_not() -> None:
    data = Data(*(two_kinds_of_evidence(200, seed) for seed in (1, 2, 3)), ("left", "right"))
    images, labels = to_images(data.test.images, "cpu"), torch.tensor(data.test.labels)
    clean, attacked = {}, {}
    for probe in (Linear(), RobustLinear(epochs=40, batch=100)):
        model = fitted(probe, Pixels(), data, Generator().manual_seed(0), RUN)
        moved = ALF(step_size=8 / 2550).attacked(
            model, images, labels, Generator().manual_seed(1), 20
        )
        name = type(probe).__name__
        clean[name] = (model(images).argmax(1) == labels).float().mean().item()
        attacked[name] = (model(moved).argmax(1) == labels).float().mean().item()
    assert clean["Linear"] > 0.97
    assert clean["RobustLinear"] > 0.85
    assert attacked["RobustLinear"] > attacked["Linear"] + 0.5, attacked


@pytest.mark.parametrize("kind", [ALF, RobustLinear])
@pytest.mark.parametrize("wrong", [{"eps": 8.0}, {"eps": 0.0}, {"step_size": 0.0}, {"steps": 0}])
def test_attacks_out_of_range_are_refused(kind: type[ALF], wrong: dict[str, float]) -> None:
    (name,) = wrong
    with pytest.raises(ValueError, match=f"{name}={wrong[name]}"):
        kind(**wrong)
