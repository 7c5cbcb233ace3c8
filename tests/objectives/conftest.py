"""A tiny encoder in float64, and views that do not depend on chance."""

from collections.abc import Callable, Iterator

import pytest
import torch
from batches import Tiny
from torch import Generator, Tensor

from robench.contracts import Objective
from robench.tensors.modes import preserved_random_state


@pytest.fixture
def build() -> Iterator[Callable[..., Objective]]:
    """Make an objective around a tiny encoder, with nothing at the value it has at the start."""

    def build(method: Callable[..., Objective], **arguments: object) -> Objective:
        objective = method(Tiny(), **arguments).double()
        dice = Generator().manual_seed(3)
        with torch.no_grad():
            for name, tensor in objective.state_dict().items():
                if tensor.is_floating_point():
                    tensor.normal_(0, 0.5, generator=dice)
                if name.endswith("running_var"):
                    tensor.abs_().add_(0.3)
        return objective

    with preserved_random_state():
        yield build


@pytest.fixture
def views() -> tuple[Tensor, Tensor]:
    """Two views of four images; some pixels lie at the ends of the range."""
    dice = Generator().manual_seed(4)
    first, second = (
        torch.rand(4, 3, 6, 6, dtype=torch.float64, generator=dice).mul(1.2).sub(0.1).clamp(0, 1)
        for _ in range(2)
    )
    return first, second


@pytest.fixture
def fixed() -> Callable[[Objective, tuple[Tensor, Tensor]], Objective]:
    """Let an objective see these two views, one after the other, instead of random ones."""

    def fix(objective: Objective, views: tuple[Tensor, Tensor]) -> Objective:
        left = list(views)
        objective.augment = lambda images, generator: left.pop(0)  # type: ignore[assignment]
        objective.augments = (objective.augment,) * len(left)
        return objective

    return fix


@pytest.fixture
def weights() -> Callable[[Objective], dict[str, Tensor]]:
    """An objective's weights and statistics as they are now, ready to be differentiated."""

    def weights(objective: Objective) -> dict[str, Tensor]:
        learned = {name for name, weight in objective.named_parameters() if weight.requires_grad}
        return {
            name: tensor.detach().clone().requires_grad_(name in learned)
            for name, tensor in objective.state_dict().items()
        }

    return weights


@pytest.fixture
def agree() -> Callable[[Objective, Tensor, dict[str, Tensor], Tensor], None]:
    """Both losses and the gradients of every weight agree to 1e-10."""

    def agree(
        objective: Objective, loss: Tensor, weights: dict[str, Tensor], expected: Tensor
    ) -> None:
        torch.testing.assert_close(loss, expected, rtol=1e-10, atol=1e-10)
        loss.backward()
        expected.backward()
        for name, parameter in objective.named_parameters():
            if not parameter.requires_grad:
                assert parameter.grad is None, name
                continue
            assert parameter.grad is not None, name
            assert parameter.grad.abs().max() > 1e-6, name
            torch.testing.assert_close(parameter.grad, weights[name].grad, rtol=1e-10, atol=1e-10)

    return agree
