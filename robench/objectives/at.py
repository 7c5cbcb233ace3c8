"""PGD adversarial training with labels (Madry et al. 2018, arXiv 1706.06083)."""

from torch import Generator, Tensor, nn
from torch.nn.functional import cross_entropy

from robench.contracts import Batch, Encoder, Exported, Objective
from robench.grid.recipe import Recipe
from robench.tensors.ascend import Climb
from robench.tensors.augment import crop_and_flip
from robench.tensors.folding import folded


class AT(Objective):
    """Cross-entropy of a linear head on adversaries alone, found by PGD from a random start.

    Equation 2.1, with labels; the head is evaluated by the probe `own`. Defaults are those of the
    authors' CIFAR-10 challenge (cifar10_challenge, config.json). Its adversary climbs in train
    mode, with BatchNorm's statistics of the batch (train.py:44-60); here it climbs in eval mode,
    as TRADES' does. Its weight decay leaves BatchNorm and biases out; ours is on all weights.
    """

    uses_labels = True
    # 80,000 steps of 128 images, a tenth of the rate from step 40,000 and again from 60,000,
    # in epochs of 390 steps.
    recipe = Recipe(
        epochs=205,
        batch=128,
        optimizer="sgd",
        lr=0.1,
        weight_decay=2e-4,
        schedule="steps",
        falls=((103, 0.1), (154, 0.01)),
    )

    def __init__(
        self,
        encoder: Encoder,
        classes: int,
        *,
        eps: float = 8 / 255,
        step_size: float = 2 / 255,
        steps: int = 10,
    ) -> None:
        super().__init__()
        self.encoder, self.head = encoder, nn.Linear(encoder.width, classes)
        self.climb, self.augment = Climb(eps, step_size, steps), crop_and_flip

    def forward(self, batch: Batch) -> Tensor:
        assert batch.labels is not None
        views = self.augment(batch.images, batch.generator)
        attacked = self.adversary(views, batch.labels, batch.generator)
        return cross_entropy(self.head(self.encoder(attacked)), batch.labels)

    def adversary(self, views: Tensor, labels: Tensor, generator: Generator) -> Tensor:
        """Views [B, 3, H, W] pushed away from their labels, within the ball."""
        model = folded(nn.Sequential(self.encoder, self.head))

        def loss(attacked: Tensor) -> Tensor:
            return cross_entropy(model(attacked), labels, reduction="sum")

        return self.climb(loss, views, generator)

    def exported(self) -> Exported:
        return Exported(self.encoder, head=self.head)
