"""The promises of an objective."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from robench.catalog.catalog import Catalog
from robench.checks import toys
from robench.contracts import Batch, Checkpoints, Exported, Objective, Teacher, TrainingSet
from robench.engine.faults import ContractError, broken, check_encoder, shown, unchanged
from robench.engine.pretrain import loss_of, pretrain
from robench.grid.recipe import Recipe
from robench.grid.spec import Spec
from robench.tensors.batchnorm import branches
from robench.tensors.features import to_images

Make = Callable[[], Objective]
_ENCODER, _IMAGES, _BATCH = "resnet8(width=4)", 16, 8
_RECIPE = Recipe(epochs=2, batch=_BATCH, lr=1e-3)
_MIDDLE = 2  # the state after three of four steps: within an epoch, after what `prepare` did


def made(catalog: Catalog, spec: Spec) -> Objective:
    """The objective around a small encoder, in train mode, with the same weights every time."""
    torch.manual_seed(0)
    own, other = (catalog.build("encoders", _ENCODER) for _ in range(2))
    teacher = Teacher(other.eval(), nn.Linear(other.width, 8))
    return catalog.build_objective(spec, own, len(toys.CLASSES), teacher).train()


def _training_set(objective: Objective) -> TrainingSet:
    train = toys.data().train
    labels = torch.from_numpy(train.labels[:_IMAGES]) if objective.uses_labels else None
    return TrainingSet(torch.from_numpy(train.images[:_IMAGES]), labels)


def _loss(objective: Objective, seed: int = 0, labelled: bool = False) -> tuple[Tensor, Batch]:
    """The loss of the first batch, and the batch."""
    known, generator = _training_set(objective), toys.generator(seed)
    objective.prepare(known, 0, generator, toys.run())
    rows = torch.arange(_BATCH)
    labels = None if known.labels is None else known.labels[rows]
    if labelled:
        labels = torch.from_numpy(toys.data().train.labels[:_BATCH])
    images = to_images(known.images[rows].numpy(), "cpu")
    batch = Batch(images, rows, labels, 0, 2, 0.0, generator)
    return loss_of(objective, batch, "fp32"), batch


def loss(make: Make) -> None:
    """The loss of a batch is one finite number, a scalar tensor."""
    try:
        found, _ = _loss(make())
    except Exception:
        if not make().uses_labels:
            _loss(make(), labelled=True)  # raises too, where it is about something else
            what = "takes batch.labels, which are None: write uses_labels = True in the class"
            raise ContractError(broken(make(), "forward", what)) from None
        raise
    if not found.isfinite():
        raise ContractError(broken(make(), "forward", f"returned a loss of {found.item()}"))


def gradient(make: Make) -> None:
    """The loss has a gradient that reaches the encoder."""
    objective = make()
    found, _ = _loss(objective)
    if found.requires_grad:
        torch.autograd.backward(found)
    if not any(p.grad is not None and p.grad.any() for p in objective.encoder.parameters()):
        what = "returned a loss whose gradient in the encoder is none or zero: it would never learn"
        raise ContractError(broken(objective, "forward", what))


def draws(make: Make) -> None:
    """Every random draw comes from batch.generator."""

    def fault(name: str) -> str:
        return broken(make(), "forward", f"draws from {name}, not from batch.generator alone")

    losses = []
    for seed in (1, 2):
        objective = make()
        torch.manual_seed(seed)
        with toys.without_global_draws(fault):
            losses.append(_loss(objective)[0])
    if not torch.equal(*losses):
        what = "gave two losses for the same weights, images and generator"
        raise ContractError(broken(make(), "forward", what))


def leaves(make: Make) -> None:
    """A forward pass leaves weights, train and eval modes, images and torch's settings alone."""
    objective = make()
    first = next(m for m in objective.encoder.modules() if isinstance(m, nn.BatchNorm2d))
    first.eval()  # a part with a mode of its own
    before = _state(objective)

    def fault(what: str) -> Exception:
        return ContractError(broken(objective, "forward", f"changed {what}"))

    with unchanged(nn.Identity(), fault):  # which has nothing but torch's settings to change
        _, batch = _loss(objective)
    after = _state(objective)
    for name, value in before.items():
        if not _equal(value, after[name]):
            raise fault(f"{name}; a forward pass may change buffers only")
    images = _training_set(objective).images[:_BATCH]
    if batch.images.requires_grad or not batch.images.equal(to_images(images.numpy(), "cpu")):
        raise fault("batch.images; it should work on a copy")


def _state(objective: Objective) -> dict[str, Any]:
    """What a forward pass leaves as it is, by its name in words."""
    state: dict[str, Any] = {}
    for name, part in objective.named_modules():
        state[f"the train or eval mode of {name or 'itself'}"] = part.training
    for name, weights in objective.named_parameters():
        state[f"the weights {name}"] = weights.detach().clone()
        state[f"requires_grad of {name}"] = weights.requires_grad
        state[f"the gradient of {name}"] = weights.grad
    return state


def _equal(first: Any, second: Any) -> bool:
    both = isinstance(first, Tensor) and isinstance(second, Tensor)
    return first.equal(second) if both else first is second or first == second


def resumes(make: Make) -> None:
    """A training that was interrupted ends with the same weights."""
    kept = toys.Kept()
    objective, before = make(), _plain(make())
    whole = _trained(objective, kept)
    if not toys.same(whole, _trained(make(), Checkpoints())):
        what = "is trained to other weights from the same start, with the same draws"
        raise ContractError(broken(objective, "forward", what))
    if not toys.same(whole, _trained(make(), toys.Kept(kept.states[_MIDDLE]))):
        after = _plain(objective)
        changing = [name for name in after if before.get(name) != after[name]]
        which = f": {', '.join(changing)}" if changing else ""
        what = "ends with other weights after an interruption: something that changes in training "
        what += f"is neither a parameter nor a buffer (register_buffer){which}"
        raise ContractError(broken(objective, "forward", what))


def _trained(objective: Objective, checkpoints: Checkpoints) -> dict[str, Tensor]:
    known, run = _training_set(objective), toys.run(checkpoints)
    pretrain(objective, known, _RECIPE, toys.generator(), run, type(objective).__name__)
    return dict(objective.state_dict())


def _plain(objective: Objective) -> Mapping[str, str]:
    """The attributes of an objective and its layers that are not saved, as text."""
    return {
        f"{name}.{attribute}".lstrip("."): repr(value)
        for name, part in objective.named_modules()
        for attribute, value in vars(part).items()
        if not attribute.startswith("_")
    }


def exports(make: Make) -> None:
    """It exports an encoder, with a BatchNorm branch that the encoder has."""
    objective = make()
    found: object = objective.exported()
    if not isinstance(found, Exported):
        what = f"returned {shown(found)}; expected Exported(encoder)"
        raise ContractError(broken(objective, "exported", what))
    check_encoder(found.encoder, to_images(toys.data().test.images[:4], "cpu"))
    if found.branch not in branches(found.encoder):
        known = ", ".join(branches(found.encoder))
        what = f"exports the branch '{found.branch}'; its encoder has {known}"
        raise ContractError(broken(objective, "exported", what))


def schedule(make: Make) -> None:
    """Its recipe is a Recipe, or None."""
    objective = make()
    recipe: object = objective.recipe
    if not isinstance(recipe, Recipe | None):
        what = f"has a recipe that is a {shown(recipe)}; write Recipe(epochs=..., batch=...)"
        raise ContractError(broken(objective, "__init__", what))


PROMISES = loss, gradient, draws, leaves, resumes, exports, schedule
