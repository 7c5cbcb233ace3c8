"""The official package's searches, whose long parts are answered from a journal where it can."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.autograd import Function

from robench.journal import Journal, Question

if TYPE_CHECKING:
    import pyautoattack


def recall_searches(official: "pyautoattack.AutoAttack", journal: Journal) -> None:
    """Let the package's four attacks, each of their runs, and what these ask, be recalled.

    That is the logits and gradients that APGD climbs by, the gradients and logits of FAB's steps,
    the margins of Square's queries, and the logits by which each attack's images are judged. The
    attacks begin from a seed, so a search that is done again asks the same.
    """
    for climbing in (official.apgd, official.apgd_targeted):
        climbing.model = RecalledModel(climbing.model, journal)
        _recall(climbing, journal, "attack_single_run", "perturb")
    steps = ("get_diff_logits_grads_batch_targeted", "_predict_fn")
    _recall(official.fab, journal, *steps, "attack_single_run", "perturb")
    _recall(official.square, journal, "margin_and_loss", "attack_single_run", "perturb")
    _recall(official, journal, "get_logits")


class RecalledModel:
    """A frozen model whose logits are recalled, with the gradient that images got through them."""

    def __init__(self, model: nn.Module, journal: Journal) -> None:
        self.model, self.journal = model, journal

    def __call__(self, images: Tensor) -> Tensor:
        """The logits of images, which are on their way to a gradient if they require one."""
        question = Question(images)
        if not (torch.is_grad_enabled() and images.requires_grad):
            return self.journal.tensor(question, lambda: cast(Tensor, self.model(images)))
        known = self.journal.recall(question)
        if known is not None:
            return cast(Tensor, _Recalled.apply(images, *known))
        logits = self.model(images)
        found = logits.detach()  # with its graph, the hook and the images would hold each other

        def keep(gradient: Tensor) -> None:
            self.journal.keep(question, (found, gradient))

        images.register_hook(keep)  # type: ignore[no-untyped-call]
        return cast(Tensor, logits)


class _Recalled(Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, logits: Tensor, gradient: Tensor) -> Tensor:
        ctx.gradient = gradient
        return logits

    @staticmethod
    def backward(ctx: Any, _: Tensor) -> tuple[Tensor | None, ...]:
        return ctx.gradient, None, None


def _recall(owner: Any, journal: Journal, *names: str) -> None:
    """Let the methods of these names, which map tensors to tensors, be recalled."""
    for name in names:
        setattr(owner, name, _recalled(getattr(owner, name), journal))


def _recalled(method: Callable[..., Any], journal: Journal) -> Callable[..., Any]:
    def recalled(*given: Any, **named: Any) -> Any:
        def find() -> tuple[Tensor | None, ...]:
            found = method(*given, **named)
            return found if isinstance(found, tuple) else (found,)

        tensors = [value for value in (*given, *named.values()) if isinstance(value, Tensor)]
        found = journal.answer(Question(*tensors), find)
        return found if len(found) > 1 else found[0]

    return recalled
