"""Cross-entropy with labels: the reference that has seen no adversary."""

from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from robench.contracts import Batch, Encoder, Exported, Objective
from robench.grid.recipe import Recipe
from robench.tensors.augment import crop_and_flip


class Supervised(Objective):
    """Cross-entropy of a linear head on crops and flips, with labels and without adversaries.

    Its own head is evaluated by the probe `own`. The schedule is that of kuangliu/pytorch-cifar
    (main.py:88-90), which most CIFAR code descends from; its cosine falls with each epoch, ours
    with each step.
    """

    uses_labels = True
    recipe = Recipe(epochs=200, batch=128, optimizer="sgd", lr=0.1, weight_decay=5e-4)

    def __init__(self, encoder: Encoder, classes: int) -> None:
        super().__init__()
        self.encoder, self.head = encoder, nn.Linear(encoder.width, classes)
        self.augment = crop_and_flip

    def forward(self, batch: Batch) -> Tensor:
        assert batch.labels is not None
        views = self.augment(batch.images, batch.generator)
        return cross_entropy(self.head(self.encoder(views)), batch.labels)

    def exported(self) -> Exported:
        return Exported(self.encoder, head=self.head)
