"""Adversarial full finetuning (AFF): the whole network by TRADES, from the pretrained encoder."""

import copy
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import cross_entropy, kl_div, log_softmax

from robench.contracts import Encoder, ProbeData, ProbeError, Run, Split
from robench.probes._descent import joined, linear_layer
from robench.probes._on_images import OnAdversaries, crop_and_flip, pixels
from robench.tensors.ascend import ascend
from robench.tensors.balls import ball
from robench.tensors.batchnorm import CLEAN, adopt_branch
from robench.tensors.modes import evaluating, frozen

_NOISE = 0.001  # where the climb starts: at the image itself the divergence has no gradient
_TEST_STEPS = 20  # of the attack that epochs are compared by


@dataclass(frozen=True)
class AFF(OnAdversaries):
    """Adversarial full finetuning: a copy of the encoder and a linear layer, by SGD on TRADES.

    The defaults are ACL's and RobustSSL's (ACL's train_trades.py:23-71; RobustSSL's
    Vanilla_Finetuning/utils.py:843-849, 859-862): PGD-10 in training, beta 6, a layer that starts
    from zero. For ACL on CIFAR-10 both take ``epochs=100, decay='40,60'`` (ACL's readme.md;
    utils.py:820-824). ``branch`` "adversarial" starts from that BatchNorm branch, as ACL does
    (train_trades.py:377-381).

    The last epoch counts, and the held-out part is trained on too. ``select`` keeps it out, and the
    epoch that withstands PGD-20 best on it counts, as in ACL's code (train_trades.py:317-363).
    """

    finetunes: ClassVar[bool] = True

    lr: float = 0.1
    epochs: int = 25
    batch: int = 128
    decay: str = "15,20"
    beta: float = 6.0
    branch: str = CLEAN
    select: bool = False

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
        try:
            adopt_branch(encoder, self.branch)
        except ValueError as error:
            raise ProbeError(f"aff(branch={self.branch}): {error}") from None
        layer = linear_layer(encoder.width, data.classes, run.device)
        model = nn.Sequential(encoder, layer)
        images, labels = pixels(data.train if self.select else joined(data), run.device)
        best = torch.tensor(-1.0, dtype=torch.float64, device=run.device)
        best_model = copy.deepcopy(model)
        kept = {f"best.{name}": weights for name, weights in best_model.state_dict().items()}
        kept["accuracy"] = best

        def loss(rows: Tensor) -> Tensor:
            views = crop_and_flip(images[rows].float().div_(255), generator)
            adversary = self.adversary(model, views, generator)
            return trades(model, views, adversary, labels[rows], self.beta)

        def keep_the_best() -> None:
            accuracy = self._withstood(model, data.held_out, generator)
            if accuracy > best:
                best.fill_(accuracy)
                best_model.load_state_dict(model.state_dict())

        model.train()
        selecting = (kept, keep_the_best) if self.select else ()
        # BatchNorm in train mode has no variance of one image: hence 2.
        self.descend(model, loss, len(labels), generator, run, 2, *selecting)
        if self.select:
            model.load_state_dict(best_model.state_dict())
        model.eval().requires_grad_(False)
        return layer

    def adversary(self, model: nn.Module, images: Tensor, generator: Generator) -> Tensor:
        """Images [B, 3, H, W] pushed away from the model's own prediction on ``images``.

        In eval mode, from normal noise of 0.001 (ACL's trades.py:60-85).
        """
        noise = torch.empty_like(images).normal_(generator=generator)
        with evaluating(model), frozen(model):
            with torch.no_grad():
                target = log_softmax(model(images), 1)
            return ascend(
                lambda attacked: _divergence(model(attacked), target),
                images,
                ball("linf", self.eps),
                steps=self.steps,
                step_size=self.step_size,
                start=images + _NOISE * noise,
            )

    def _withstood(self, model: nn.Module, split: Split, generator: Generator) -> float:
        """The accuracy on a split under PGD."""
        images, labels = pixels(split, next(model.parameters()).device)
        right = 0
        with evaluating(model), frozen(model):
            for rows in torch.split(torch.arange(len(labels), device=labels.device), self.batch):
                batch = images[rows].float().div_(255)
                attacked = self.attacked(model, batch, labels[rows], generator, _TEST_STEPS)
                with torch.no_grad():
                    right += int((model(attacked).argmax(1) == labels[rows]).sum())
        return right / len(labels)


def trades(
    model: nn.Module, images: Tensor, adversary: Tensor, labels: Tensor, beta: float
) -> Tensor:
    """Cross-entropy, and ``beta`` times how far the adversary moves the prediction, over the batch.

    Equation 5 of TRADES (Zhang et al. 2019, arXiv 1901.08573), in the model's own mode: in train
    mode, clean and adversarial images are two BatchNorm batches (ACL's trades.py:90-109).
    """
    logits = model(images)
    moved = _divergence(model(adversary), log_softmax(logits, 1))
    return cross_entropy(logits, labels) + beta * moved / len(images)


def _divergence(logits: Tensor, target: Tensor) -> Tensor:
    """KL(target || logits), summed over images; ``target`` are log-probabilities [B, K]."""
    return kl_div(log_softmax(logits, 1), target, reduction="sum", log_target=True)
