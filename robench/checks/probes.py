"""The promises of a probe."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property

import torch
from torch import Tensor, nn

from robench.checks import toys
from robench.contracts import Checkpoints, Encoder, Probe, ProbeData
from robench.engine import evidence
from robench.engine.faults import ContractError, broken, not_finite, shown
from robench.engine.probe import probe, rebuilt, trained
from robench.tensors.features import to_images
from robench.tensors.modes import evaluating


@cache
def _encoder() -> Encoder:
    torch.manual_seed(0)
    encoder = toys.Small().train()
    with torch.no_grad():
        encoder(to_images(toys.data().train.images, "cpu"))  # so that its statistics are of these
    return encoder.eval()


@dataclass
class Fits:
    """A probe, and what it fits to three colours; ``make`` makes it."""

    make: Callable[[], Probe]

    @cached_property
    def probe(self) -> Probe:
        """The probe."""
        return self.make()

    @cached_property
    def first(self) -> tuple[nn.Sequential, toys.Kept]:
        """The classifier of the first fit, and the states that could be saved in it."""
        kept = toys.Kept()
        return self.again(kept), kept

    def again(self, checkpoints: Checkpoints | None = None) -> nn.Sequential:
        """Fit again, with draws of the same seed."""
        encoder, known = copy.deepcopy(_encoder()), ProbeData.of(toys.data())
        return probe(self.probe, encoder, known, toys.generator(), toys.run(checkpoints))

    def broken(self, what: str, method: str = "fit") -> ContractError:
        """The error of a fault in words."""
        return ContractError(broken(self.probe, method, what))


def _logits(model: nn.Module) -> Tensor:
    with torch.no_grad(), evaluating(model):
        logits: Tensor = model(to_images(toys.data().train.images, "cpu"))
    return logits


def value(fits: Fits) -> None:
    """Two of the same arguments are equal, as those of a frozen dataclass are."""
    if fits.make() != fits.make() or hash(fits.make()) != hash(fits.make()):
        raise fits.broken(
            "made twice with the same arguments is not equal; write @dataclass(frozen=True)"
        )


def fitted(fits: Fits) -> None:
    """It fits a module to logits float32 [B, classes], and leaves the encoder as it is."""
    model = fits.first[0]
    logits: object = _logits(model)
    expected = [len(toys.data().train), len(toys.CLASSES)]
    if not isinstance(logits, Tensor) or list(logits.shape) != expected:
        raise fits.broken(f"fitted a module that gives {shown(logits)}; expected {expected}")
    if lost := not_finite({**model.state_dict(), "logits": logits}):
        raise fits.broken(f"fitted {lost} with numbers that are not finite")


def draws(fits: Fits) -> None:
    """Every random draw comes from the generator that it is given."""
    whole = fits.first[0].state_dict()
    torch.manual_seed(1)
    if not toys.same(whole, fits.again().state_dict()):
        what = "fitted other weights to the same features with the same generator: it draws from "
        what += "elsewhere, as the first weights of torch's layers are drawn"
        raise fits.broken(what)


def rebuilds(fits: Fits) -> None:
    """Made again from its weights, the classifier gives the same logits."""
    model = fits.first[0]
    weights = dict(trained(model, fits.probe).state_dict())
    again = rebuilt(fits.probe, copy.deepcopy(_encoder()), len(toys.CLASSES), weights)
    if evidence.differ(_logits(again), _logits(model)):
        what = "rebuilt from its weights gives other logits: something is not in its state_dict"
        raise fits.broken(what, "rebuild")


def its_own(fits: Fits) -> None:
    """An image's logits are its own, and the same every time."""
    model, images = fits.first[0].eval(), to_images(toys.data().test.images, "cpu")
    with torch.no_grad():
        notes = evidence.determinism(model, images, model(images))
    for note in notes:
        raise fits.broken(f"fitted a module that {toys.NOTED[note]}")


def learns(fits: Fits) -> None:
    """It tells apart images of three colours that it was fitted to."""
    labels = torch.from_numpy(toys.data().train.labels)
    right = (_logits(fits.first[0]).argmax(1) == labels).double().mean().item()
    if right < 0.6:  # chance is a third
        raise fits.broken(
            f"classifies {right:.0%} of the images right that it was fitted to; chance is 33%"
        )


def resumes(fits: Fits) -> None:
    """Where it saves its state, it goes on from there to the same weights."""
    whole, states = fits.first[0].state_dict(), fits.first[1].states
    if states and not toys.same(
        whole, fits.again(toys.Kept(states[len(states) // 2])).state_dict()
    ):
        raise fits.broken(
            "ends with other weights after an interruption; its state lacks something"
        )


PROMISES = value, fitted, draws, rebuilds, its_own, learns, resumes
