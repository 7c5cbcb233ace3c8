"""The promises of an encoder."""

from collections.abc import Callable

import torch
from torch import Tensor

from robench.checks import toys
from robench.contracts import Encoder
from robench.engine import evidence
from robench.engine.faults import ContractError, broken, check_encoder, not_finite
from robench.tensors.features import to_images

Make = Callable[[], Encoder]


def _images(count: int = 8) -> Tensor:
    return to_images(toys.data().test.images[:count], "cpu")


def _made(make: Make, seed: int = 0) -> Encoder:
    """An encoder in eval mode, whose statistics have seen a batch."""
    torch.manual_seed(seed)
    encoder = make().train()
    with torch.no_grad():
        encoder(_images())
    return encoder.eval()


def _features(encoder: Encoder, images: Tensor) -> Tensor:
    with torch.no_grad():
        features: Tensor = encoder(images)
    return features


def features(make: Make) -> None:
    """Images [B, 3, H, W] become features float32 [B, width], and stay as they are."""
    check_encoder(make(), _images())
    if not_finite({"features": _features(_made(make), _images())}):
        raise ContractError(broken(make(), "forward", "returned features that are not finite"))


def gradients(make: Make) -> None:
    """Gradients reach its weights and the pixels of every image."""
    encoder, images = _made(make).train(), _images().requires_grad_()
    torch.autograd.backward(encoder(images).square().sum())
    if not any(p.grad is not None and p.grad.any() for p in encoder.parameters()):
        what = "has no weights, or none that a gradient reaches: no objective can train it"
        raise ContractError(broken(encoder, "forward", what))
    if images.grad is None or not images.grad.flatten(1).any(1).all():
        what = "has a gradient of zero in the pixels of an image: attacks would find nothing"
        raise ContractError(broken(encoder, "forward", what))


def its_own(make: Make) -> None:
    """In eval mode an image's features are its own, and the same every time."""
    encoder, images = _made(make), _images()
    for note in evidence.determinism(encoder, images, _features(encoder, images)):
        raise ContractError(broken(encoder, "forward", toys.NOTED[note]))


def draws(make: Make) -> None:
    """In eval mode it draws nothing."""
    encoder = _made(make)
    with toys.without_global_draws(
        lambda name: broken(encoder, "forward", f"draws from {name} in eval mode")
    ):
        _features(encoder, _images())


def saved(make: Make) -> None:
    """Made again from its parameters and buffers, it has the same features."""
    encoder, other = _made(make), _made(make, seed=1)
    other.load_state_dict(encoder.state_dict())
    if evidence.differ(_features(other, _images()), _features(encoder, _images())):
        what = "has other features when it is made again from its state_dict: something that it "
        what += "uses is neither a parameter nor a buffer (register_buffer)"
        raise ContractError(broken(encoder, "forward", what))


PROMISES = features, gradients, its_own, draws, saved
