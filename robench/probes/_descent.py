"""Minimising a loss over shuffled batches, and the linear layer that it starts from."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn
from torch.optim import Optimizer

from robench.contracts import Probe, ProbeError, Run
from robench.steps import steps


def linear_layer(
    width: int, classes: int, device: torch.device, generator: Generator | None = None
) -> nn.Linear:
    """A layer [B, width] -> [B, classes] of zeros, or drawn as torch's from ``generator``."""
    # Empty at first: nn.Linear's own initialisation would draw from the global state.
    layer = nn.Linear(width, classes, device="meta").to_empty(device=device)
    bound = width**-0.5
    with torch.no_grad():
        for weights in layer.parameters():
            if generator is None:
                weights.zero_()
            else:
                weights.uniform_(-bound, bound, generator=generator)
    return layer


@dataclass(frozen=True)
class Descending(Probe):
    """Minimises a loss over shuffled batches. Raises ValueError for values out of range."""

    lr: float
    epochs: int
    batch: int

    def __post_init__(self) -> None:
        if min(self.lr, self.epochs, self.batch) <= 0:
            raise ValueError(
                f"lr={self.lr}, epochs={self.epochs} and batch={self.batch} must be positive"
            )

    @property
    def falls(self) -> Sequence[int]:
        """The numbers of epochs done at which the learning rate falls tenfold."""
        return ()

    @abstractmethod
    def optimizer(self, parameters: Iterable[Tensor]) -> Optimizer:
        """The optimizer of what is trained."""

    def rate(self, epoch: int) -> float:
        """The learning rate in an epoch, from 0."""
        lr = self.lr
        for _ in [fall for fall in self.falls if epoch >= fall]:
            lr *= 0.1
        return lr

    def descend(
        self,
        trained: nn.Module,
        loss: Callable[[Tensor], Tensor],
        rows: int,
        generator: Generator,
        run: Run,
        smallest: int = 1,
    ) -> None:
        """Train in place on the ``loss`` of batches of row numbers, int64 [B], out of ``rows``.

        A last batch of fewer than ``smallest`` rows is omitted. Raises ProbeError for a loss that
        is not finite.
        """
        label, optimizer = f"{type(self).__name__} probe", self.optimizer(trained.parameters())
        work = steps(
            rows,
            min(self.batch, rows),
            self.epochs,
            optimizer,
            trained.state_dict,
            trained.load_state_dict,
            generator,
            run,
            label,
            min(smallest, rows),
        )
        for epoch, _, batch_rows in work:
            for group in optimizer.param_groups:
                group["lr"] = self.rate(epoch)
            optimizer.zero_grad()
            value = loss(batch_rows)
            if not value.isfinite():
                raise ProbeError(
                    f"{label}: the loss is {value.item()} in epoch {epoch + 1}; "
                    f"try a smaller lr than {self.lr:g}"
                )
            value.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
