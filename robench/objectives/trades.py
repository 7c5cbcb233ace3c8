"""TRADES, adversarial training with labels (Zhang et al. 2019, arXiv 1901.08573)."""

from torch import Tensor, nn

from robench.contracts import Batch, Encoder, Exported, Objective
from robench.grid.recipe import Recipe
from robench.tensors.ascend import Climb
from robench.tensors.augment import crop_and_flip
from robench.tensors.folding import folded
from robench.tensors.trades import trades, trades_adversary


class TRADES(Objective):
    """Cross-entropy on clean images, plus ``beta`` times how far an adversary moves the prediction.

    Equation 5, with labels; the linear head is evaluated by the probe `own`. The adversary climbs
    the divergence in eval mode, from noise of 0.001. Defaults are those of the authors' code and
    paper (train_trades_cifar10.py:17-41, section 5.3): eps 0.031, where others have 8/255.
    """

    uses_labels = True
    # The rate falls at epoch 75 of 76, counted from 1; falls at 90 and 100 are never reached
    # (train_trades_cifar10.py:22, 130-138).
    recipe = Recipe(
        epochs=76,
        batch=128,
        optimizer="sgd",
        lr=0.1,
        weight_decay=2e-4,
        schedule="steps",
        falls=((74, 0.1),),
    )

    def __init__(
        self,
        encoder: Encoder,
        classes: int,
        *,
        beta: float = 6.0,
        eps: float = 0.031,
        step_size: float = 0.007,
        steps: int = 10,
    ) -> None:
        super().__init__()
        if beta < 0:
            raise ValueError(f"beta={beta} must not be negative")
        self.encoder, self.head = encoder, nn.Linear(encoder.width, classes)
        self.beta, self.climb, self.augment = beta, Climb(eps, step_size, steps), crop_and_flip

    def forward(self, batch: Batch) -> Tensor:
        assert batch.labels is not None
        views, model = self.augment(batch.images, batch.generator), self._logits()
        attacked = trades_adversary(folded(model), views, self.climb, batch.generator)
        return trades(model, views, attacked, batch.labels, self.beta)

    def exported(self) -> Exported:
        return Exported(self.encoder, head=self.head)

    def _logits(self) -> nn.Module:
        return nn.Sequential(self.encoder, self.head)
