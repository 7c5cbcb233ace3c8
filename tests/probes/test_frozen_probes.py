"""slf, alf and robust-linear: the authors' steps written out, and an encoder that stays put."""

import pytest
import torch
from batches import RUN, both_parts, probe_data
from torch import Generator, Tensor, nn
from torch.nn.functional import cross_entropy, pad

from robench.contracts import Data, Encoder
from robench.probes.alf import ALF
from robench.probes.robust_linear import RobustLinear
from robench.probes.slf import SLF

EPS, STEP = 8 / 255, 2 / 255


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
    ours = ALF().attacked(model, images, labels, dice)
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
    images, labels = both_parts(data)
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
