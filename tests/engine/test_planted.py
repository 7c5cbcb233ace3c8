"""Each planted fault is found under PGD alone and by the audit; the honest network has none."""

from collections.abc import Callable, Iterator

import pytest
import torch
from faults import honest
from planted import PLANTED, alone, attempt, audited, behind, network
from torch import Tensor, nn

from robench.attacks.pgd import PGD
from robench.engine.evaluate import EvaluationError

SILENT = {"none", "a block dropped with p = 0.005"}  # too rare for a run
STOPPED = "gradients that are not numbers"


@pytest.mark.parametrize(
    ("norm", "eps"), [("linf", 8 / 255), ("linf", 24 / 255), ("l2", 0.5), ("l1", 4)]
)
@pytest.mark.parametrize("name", PLANTED)
def test_pgd_alone_carries_a_flag(name: str, norm: str, eps: float) -> None:
    flags = alone(network(name), norm, eps)
    assert bool(flags) is (name not in SILENT)
    assert ("error" in flags) is (name == STOPPED)


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("shattered gradients", "jagged"),
        ("k-winners-take-all", "jagged"),
        ("another answer off the 8-bit grid", "jagged"),
        ("hard labels, and a slope of 1e-3", "flat"),
        ("JPEG, and a slope of 1e-6", "flat"),
        ("normalized and clamped twice", "still"),
        ("logits / 1000", "close"),
    ],
)
def test_a_fault_shows_in_its_count_whatever_the_attack_does(name: str, count: str) -> None:
    made = attempt(network(name), PGD(eps=1 / 255))
    right = int((made.outcome.clean_prediction == made.outcome.label).sum())
    assert made.counts[count] > 0.5 * right > 30


@pytest.fixture(scope="module")
def found() -> Iterator[Callable[[nn.Module], tuple[str, ...]]]:
    with audited() as found:
        yield found


@pytest.mark.slow
@pytest.mark.parametrize("name", PLANTED)
def test_the_audit_finds_it(found: Callable[[nn.Module], tuple[str, ...]], name: str) -> None:
    checks = found(network(name))
    assert bool(checks) is (name != "none")
    if "dropped" in name:
        assert "determinism" in checks


class Inner(nn.Module):
    """Code between two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(8, 8, 1), nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        return self.last(features + 0 * (self.first(features) * 0).abs().sqrt())


class Outer(nn.Module):
    """Code before the first layer."""

    def __init__(self) -> None:
        super().__init__()
        self.model = honest()

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images + 0 * (images - images).abs().sqrt())


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (lambda: network(STOPPED), r"see layer '2\.1' \(Root\)"),
        (lambda: behind(Inner()), r"see code behind layer '2\.1\.first' \(Conv2d\)"),
        (Outer, "see code before its first layer"),
    ],
)
def test_a_gradient_that_is_not_finite_is_an_error_that_names_its_layer(
    model: Callable[[], nn.Module], words: str
) -> None:
    with pytest.raises(EvaluationError, match=f"^the model's gradient is not finite; {words}$"):
        attempt(model(), PGD())


def test_a_gradient_that_is_lost_on_the_way_of_an_attack_is_an_error_too() -> None:
    class Away(nn.Module):
        """Its gradient is lost in images with values between the 256 levels."""

        def forward(self, images: Tensor) -> Tensor:
            levels = (255 * images - (255 * images).round()).abs()
            lost = torch.where(levels > 1e-2, images - images, 1.0)
            return images + 0 * lost.abs().sqrt()

    with pytest.raises(EvaluationError, match=r"not finite; see layer '0' \(Away\)$"):
        attempt(nn.Sequential(Away(), honest()), PGD())
