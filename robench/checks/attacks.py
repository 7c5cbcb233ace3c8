"""The promises of an attack."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from robench.checks import toys
from robench.contracts import Attack, Attacked, Checkpoints, Split, Target
from robench.engine.evaluate import Attempt, evaluate
from robench.engine.faults import ContractError, broken, shown
from robench.tensors.features import to_images
from robench.trust import flags

Make = Callable[[], Attack]
_GRADIENTS = {"labels", "gradients"}


def _images() -> Split:
    """Eight nearly grey images, which a classifier tells apart by little, and its predictions as
    labels: any attack can do something.
    """
    pixels = 128 + np.random.default_rng(0).normal(0, 8, (8, 3, 16, 16))
    images = pixels.clip(0, 255).astype(np.uint8)
    with torch.no_grad():
        labels = toys.classifier()(to_images(images, "cpu")).argmax(1)
    return Split(images, labels.numpy())


def _target(model: nn.Module | None = None) -> Target:
    own = toys.classifier()
    encoder = own.get_submodule("encoder")
    return Target(model or own, 10, encoder, surrogate=toys.classifier(seed=1))


def _call(
    attack: Attack, target: Target, images: Tensor, labels: Tensor, kept: Checkpoints | None = None
) -> Tensor:
    made: object = attack(target, images.clone(), labels.clone(), toys.generator(), toys.run(kept))
    if not isinstance(made, Attacked):
        raise ContractError(broken(attack, "__call__", f"returned {shown(made)}, not Attacked"))
    return made.images


def _given() -> tuple[Tensor, Tensor]:
    split = _images()
    return to_images(split.images, "cpu"), torch.from_numpy(split.labels)


def _evaluated(attack: Attack) -> Attempt:
    split, rows = _images(), np.arange(8)
    name = type(attack).__name__
    return evaluate(_target(), attack, split, rows, 8, toys.generator, toys.run(), name)


def value(make: Make) -> None:
    """Two of the same arguments are equal, as those of a frozen dataclass are."""
    if make() != make() or hash(make()) != hash(make()):
        what = "made twice with the same arguments is not equal; write @dataclass(frozen=True)"
        raise ContractError(broken(make(), "__call__", what))


def evaluated(make: Make) -> None:
    """It returns images of [0, 1] within its ball, and leaves the model as it is."""
    _evaluated(make())


def radius(make: Make) -> None:
    """Its ball has the radius that its eps says."""
    attack = make()
    eps = getattr(attack, "eps", None)
    if attack.ball is not None and eps is not None and attack.ball.eps != eps:
        what = f"has eps={eps:g} and a ball of {attack.ball.eps:g}: --eps would change nothing"
        raise ContractError(broken(attack, "__call__", what))


def draws(make: Make) -> None:
    """Every random draw comes from the generator that it is given."""
    attack, given, found = make(), _given(), list[Tensor]()
    for seed in (1, 2):
        target = _target()
        torch.manual_seed(seed)
        with toys.without_global_draws(
            lambda name: broken(attack, "__call__", f"draws from {name}, not from its generator")
        ):
            found.append(_call(attack, target, *given))
    if not torch.equal(*found):
        what = "made two sets of images of the same images with the same generator"
        raise ContractError(broken(attack, "__call__", what))


def alone(make: Make) -> None:
    """It takes a single image, and one that is misclassified already."""
    images, labels = _given()
    for own in (labels, (labels + 1) % 10):
        made = _call(make(), _target(), images[:1], own[:1])
        if made.shape != images[:1].shape:
            what = f"returned images {list(made.shape)} of {list(images[:1].shape)}"
            raise ContractError(broken(make(), "__call__", what))


def needs(make: Make) -> None:
    """It uses no labels or gradients that its needs do not name."""
    attack, (images, labels) = make(), _given()
    if "labels" not in attack.needs:
        others = (labels + 1) % 10
        given = (_call(attack, _target(), images, own) for own in (labels, others))
        if not torch.equal(*given):
            what = 'made other images of other labels; add "labels" to its needs'
            raise ContractError(broken(attack, "__call__", what))
    if not {"gradients", "features"} & attack.needs:
        model, passed = toys.classifier(), list[Tensor]()

        def watch(_: nn.Module, given: tuple[Tensor, ...], logits: Tensor) -> None:
            passed.extend(one for one in (*given, logits) if one.requires_grad)

        model.requires_grad_(False).register_forward_hook(watch)
        _call(attack, _target(model), images, labels)
        if passed:
            what = 'asks the model for gradients; add "gradients" to its needs'
            raise ContractError(broken(attack, "__call__", what))


def finds(make: Make) -> None:
    """It fools a small classifier wherever one step along the gradient does."""
    attack = make()
    if attack.baseline or not attack.needs >= _GRADIENTS or "surrogate" in attack.needs:
        return
    if missed := _evaluated(attack).counts.get(flags.MISSED_EASY, 0):
        what = f"left {missed} of 8 images standing that one step along the gradient, or a random "
        what += "point of its ball, fools; write baseline = True where that is meant"
        raise ContractError(broken(attack, "__call__", what))


def resumes(make: Make) -> None:
    """Where it saves its state, it goes on from there to the same images."""
    attack, kept, (images, labels) = make(), toys.Kept(), _given()
    whole = _call(attack, _target(), images, labels, kept)
    if kept.states:
        begin = toys.Kept(kept.states[len(kept.states) // 2])
        if not whole.equal(_call(attack, _target(), images, labels, begin)):
            what = "made other images after an interruption; its state lacks something"
            raise ContractError(broken(attack, "__call__", what))


PROMISES = value, evaluated, radius, draws, alone, needs, finds, resumes
