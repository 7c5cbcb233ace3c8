"""The schedule and optimiser of a pretraining."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Recipe:
    """The schedule of one pretraining.

    ``images`` is how many training images are used (None: all). ``lr`` is the peak learning rate;
    the warm-up climbs to it linearly from ``warmup_start * lr`` over ``warmup`` epochs, and it
    stays there for ``hold`` more. ``cosine`` then falls to zero at the end of training; where its
    ``span`` is "all", its half wave is as long as the whole training instead, and the end comes
    before zero. ``steps`` falls by ``falls``: pairs of an epoch, counted from 0, and the share of
    ``lr`` that it and those after it train at. ``update`` says whether the learning rate changes
    with each step or with each epoch. With ``precision`` "bf16" convolutions and linear layers of
    the training compute in bfloat16 (losses and views stay in float32); evaluation never does.
    """

    epochs: int
    batch: int
    images: int | None = None
    optimizer: Literal["sgd", "adam", "lars"] = "adam"
    lr: float = 1e-3
    momentum: float = 0.9
    weight_decay: float = 0.0
    schedule: Literal["cosine", "constant", "steps"] = "cosine"
    warmup: int = 0
    warmup_start: float = 0.0
    update: Literal["step", "epoch"] = "step"
    precision: Literal["fp32", "bf16"] = "fp32"
    hold: int = 0
    span: Literal["rest", "all"] = "rest"
    falls: tuple[tuple[int, float], ...] = ()

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch < 2:
            raise ValueError("a recipe needs at least 1 epoch and 2 images in a batch")
        if (self.schedule == "steps") != bool(self.falls):
            raise ValueError(f"a recipe has falls={self.falls} with schedule={self.schedule}")
        epochs = [at for at, _ in self.falls]
        if epochs != sorted(epochs):
            raise ValueError(f"a recipe's falls={self.falls} should be in the order of the epochs")
