"""What each file in robench/objectives promises; a new file is under test without an edit here."""

import copy
import random
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from batches import first_loss
from torch import Generator, Tensor, nn

from robench.catalog.catalog import Catalog
from robench.contracts import Encoder, Objective, Teacher
from robench.grid.recipe import Recipe
from robench.tensors.learners import projector
from robench.tensors.modes import preserved_random_state

NAMES = Catalog().names("methods")
Make = Callable[[], Objective]


@pytest.fixture(params=NAMES)
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    """The same objective, with the same weights, every time."""
    catalog = Catalog()

    def make() -> Objective:
        torch.manual_seed(0)
        encoder: Encoder = catalog.build("encoders", "resnet8(width=4)")
        teacher = Teacher(copy.deepcopy(encoder), projector(encoder.width, 8, 6))
        return catalog.build_objective(request.param, encoder, 3, teacher)

    with preserved_random_state():
        yield make


@pytest.fixture
def images() -> Tensor:
    return torch.rand(8, 3, 12, 12, generator=Generator().manual_seed(1))


def trained(objective: Objective) -> list[tuple[str, nn.Parameter]]:
    """Parameters by name, without those that follow others, such as moving averages."""
    return [(name, p) for name, p in objective.named_parameters() if p.requires_grad]


def generator(seed: int = 2) -> Generator:
    return Generator().manual_seed(seed)


def test_it_has_a_paper_s_schedule(make: Make) -> None:
    assert isinstance(make().recipe, Recipe)


def test_its_loss_is_a_finite_scalar_that_reaches_every_weight(make: Make, images: Tensor) -> None:
    objective = make()
    loss = first_loss(objective, images, generator())
    assert loss.shape == ()
    assert loss.isfinite()
    loss.backward()
    for name, parameter in trained(objective):
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    assert any(p.grad is not None and p.grad.any() for p in objective.encoder.parameters())


def test_every_weight_is_reached_in_half_precision_too(make: Make, images: Tensor) -> None:
    objective = make()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = first_loss(objective, images, generator())
    assert loss.dtype == torch.float32
    loss.backward()
    half = {name: parameter.grad for name, parameter in objective.named_parameters()}
    exact = make()
    first_loss(exact, images, generator()).backward()
    for name, parameter in trained(exact):
        assert half[name] is not None, name
        if parameter.dim() > 1:
            agreement = torch.cosine_similarity(half[name].flatten(), parameter.grad.flatten(), 0)
            assert agreement > 0.5, name


def test_it_draws_from_its_generator_alone(make: Make, images: Tensor) -> None:
    objectives = [make() for _ in range(3)]
    torch.manual_seed(99)
    losses = [
        first_loss(objective, images, generator(seed)).item()
        for objective, seed in zip(objectives, (2, 2, 3), strict=True)
    ]
    assert losses[0] == losses[1]
    assert losses[0] != losses[2]


def test_it_leaves_images_modes_weights_and_the_global_random_state(
    make: Make, images: Tensor
) -> None:
    objective, kept = make(), images.clone()
    first = next(m for m in objective.encoder.modules() if isinstance(m, torch.nn.Conv2d))
    first.eval()  # a part with a mode of its own
    learning = [p.requires_grad for p in objective.parameters()]
    modes = {name: module.training for name, module in objective.named_modules()}
    weights = {name: p.detach().clone() for name, p in objective.named_parameters()}
    before = torch.get_rng_state(), repr(np.random.get_state()), random.getstate()  # noqa: NPY002
    first_loss(objective, images, generator())
    after = torch.get_rng_state(), repr(np.random.get_state()), random.getstate()  # noqa: NPY002
    assert torch.equal(after[0], before[0])
    assert after[1:] == before[1:]
    assert torch.equal(images, kept)
    assert not images.requires_grad
    assert {name: module.training for name, module in objective.named_modules()} == modes
    assert all(torch.equal(p, weights[name]) for name, p in objective.named_parameters())
    assert [p.requires_grad for p in objective.parameters()] == learning
    assert all(p.grad is None for p in objective.parameters())


def test_it_adds_to_gradients_that_are_there(make: Make, images: Tensor) -> None:
    objective = make()
    for parameter in objective.parameters():
        parameter.grad = torch.full_like(parameter, 7.0)
    first_loss(objective, images, generator())
    assert all(bool((p.grad == 7).all()) for p in objective.parameters())
