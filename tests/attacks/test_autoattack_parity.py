"""The official package, called directly, leaves the same images standing."""

import sys

import pyautoattack
import pytest
import torch
from attacking import call, curved, grey_images, predict
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from robench.attacks.autoattack import AutoAttack
from robench.tensors.modes import draw_seed, preserved_random_state

OFFICIAL = {"linf": "Linf", "l2": "L2", "l1": "L1"}
ALL, NO_DLR = ["apgd-ce", "apgd-t", "fab-t", "square"], ["apgd-ce", "fab-t", "square"]
HALF = {"linf": 0.03, "l2": 0.3, "l1": 2.0}  # radii at which ``patchy`` loses about half its images


def official(
    attack: AutoAttack,
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    targets: int | None = None,
) -> Tensor:
    """The package called as its README does, with the seed that the adapter draws.

    ``targets`` where the classes are too few for its own number.
    """
    trace = sys.gettrace()
    with preserved_random_state():
        package = pyautoattack.AutoAttack(
            model,
            norm=OFFICIAL[attack.norm],
            eps=attack.eps,
            seed=draw_seed(Generator().manual_seed(4)),
            version="standard",
        )
        if targets is not None:
            package.apgd_targeted.n_target_classes = package.fab.n_target_classes = targets
            if targets < 3:
                package.version, package.attacks_to_run = "custom", NO_DLR
        found, _ = package.run_standard_evaluation(images, labels, batch_size=len(images))
    sys.settrace(trace)
    model.zero_grad(set_to_none=True)
    return found


class Patchy(nn.Module):
    """Quantises the pixels of bright images, so that only Square finds a way where there is one.

    The other images have confident logits, under which APGD-CE finds little of what APGD-DLR does.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        bright = images.mean((1, 2, 3), keepdim=True) > 0.5
        logits: Tensor = self.network(torch.where(bright, (25 * images).round() / 25, images))
        return 60 * logits


def patchy(classes: int) -> tuple[nn.Module, Tensor, Tensor]:
    """A small network, trained a little, with 64 images and its labels for them."""
    with preserved_random_state():
        torch.manual_seed(0)
        means = 0.08 * F.interpolate(torch.randn(classes, 3, 4, 4), size=(8, 8), mode="bilinear")

        def draw() -> tuple[Tensor, Tensor]:
            labels = torch.randint(classes, (64,))
            noise = 0.1 * torch.randn(64, 3, 8, 8)
            return (0.5 + means[labels] + noise).clamp(0, 1), labels

        network = nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1, bias=False),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Conv2d(4, 4, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(64, classes),
        )
        optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
        for _ in range(150):
            images, labels = draw()
            optimizer.zero_grad()
            F.cross_entropy(network(images), labels).backward()
            optimizer.step()
        model = Patchy(network).eval()
        images, _ = draw()
    with torch.no_grad():
        return model, images, model(images).argmax(1)


@pytest.mark.parametrize(
    ("classes", "norm", "eps"),
    [
        (4, "linf", HALF["linf"]),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in [
                *((10, norm, eps) for norm, eps in HALF.items()),
                *((2, "linf", 0.03), (3, "linf", 0.03), (100, "linf", 0.01)),
            ]
        ),
    ],
)
def test_the_same_images_stand(classes: int, norm: str, eps: float) -> None:
    # Some seconds: all four attacks run in full, twice.
    model, images, labels = patchy(classes)
    attack = AutoAttack(eps=eps, norm=norm)
    targets = classes - 1 if classes < 10 else None
    made = call(attack, model, images, labels)
    standing = predict(model, made.images) == labels
    expected = predict(model, official(attack, model, images, labels, targets)) == labels
    assert torch.equal(standing, expected)
    # Gradients, and queries alone, fooled some images, and some withstood all.
    fooled = int((~standing).sum())
    assert 0 < made.counts["square"] < fooled < len(images)


@pytest.mark.parametrize(("norm", "eps"), [("linf", 0.02), ("l2", 0.15), ("l1", 1.5)])
@pytest.mark.usefixtures("without_square")
def test_with_every_step_taken_the_images_are_the_same_too(
    norm: str, eps: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Searching as the package does: through the model itself, and on after a success."""
    model, images = curved(), grey_images()[:2]
    labels = predict(model, images)
    attack = AutoAttack(eps=eps, norm=norm)
    expected = official(attack, model, images, labels)
    monkeypatch.setattr("robench.attacks._official.fast_copy", lambda model, check_on: model)
    monkeypatch.setattr("robench.attacks._official.stop_at_success", lambda attack: None)
    found = call(attack, model, images, labels).images
    assert torch.equal(found, expected)
    assert not torch.equal(found, images)
