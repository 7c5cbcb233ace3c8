"""Adversarial full finetuning (AFF): the whole network by TRADES, from the pretrained encoder."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Generator, Tensor, nn

from robench.contracts import Encoder, ProbeData, Run
from robench.probes._descent import linear_layer
from robench.probes._on_images import OnAdversaries, pixels
from robench.tensors.augment import crop_and_flip
from robench.tensors.modes import evaluating, frozen
from robench.tensors.trades import trades, trades_adversary


@dataclass(frozen=True)
class AFF(OnAdversaries):
    """Adversarial full finetuning: a copy of the encoder and a linear layer, by SGD on TRADES.

    The defaults are ACL's and RobustSSL's (ACL's train_trades.py:23-71; RobustSSL's
    Vanilla_Finetuning/utils.py:843-849, 859-862): PGD-10 in training, beta 6, a layer that starts
    from zero. For ACL on CIFAR-10 both take ``epochs=100, decay='40,60'`` (ACL's readme.md;
    utils.py:820-824). Of several BatchNorm branches the one that is evaluated is trained, as ACL
    trains its adversarial one (train_trades.py:377-381).

    The last epoch counts, as in DynACL's code (test_AFF.py:280-300), and nothing is selected, so
    the held-out part is trained on too. ACL's code keeps the epoch that withstands PGD-20 best on a
    part that it holds out (train_trades.py:317-363).
    """

    finetunes: ClassVar[bool] = True

    lr: float = 0.1
    epochs: int = 25
    batch: int = 128
    decay: str = "15,20"
    beta: float = 6.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.beta < 0 or self.batch < 2:
            raise ValueError(
                f"beta={self.beta} must not be negative and batch={self.batch} be at least 2"
            )

    def passes(self) -> float:
        # The target of the climb forward, its steps, and two passes back to the weights.
        return self.epochs * (self.steps + 3.5)

    def fit(self, encoder: Encoder, data: ProbeData, generator: Generator, run: Run) -> nn.Module:
        layer = linear_layer(encoder.width, data.classes, run.device)
        model = nn.Sequential(encoder, layer)
        images, labels = pixels(data.both, run.device)

        def loss(rows: Tensor) -> Tensor:
            views = crop_and_flip(images[rows].float().div_(255), generator)
            adversary = self.adversary(model, views, generator)
            return trades(model, views, adversary, labels[rows], self.beta)

        model.train()
        # BatchNorm in train mode has no variance of one image: hence 2.
        self.descend(model, loss, len(labels), generator, run, smallest=2)
        model.eval().requires_grad_(False)
        return layer

    def adversary(self, model: nn.Module, images: Tensor, generator: Generator) -> Tensor:
        """Images [B, 3, H, W] pushed away from the model's own prediction, in eval mode."""
        with evaluating(model), frozen(model):
            return trades_adversary(model, images, self.climb, generator)
