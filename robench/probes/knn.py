"""The weighted k-nearest-neighbour classifier (Wu et al. 2018, arXiv 1805.01978, section 3.4)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import normalize

from robench.contracts import Encoder, Probe, ProbeData, Run

_LEAST = 1e-6  # of all votes: the logit of a class without any is that of this share


class _Votes(nn.Module):
    """Features [B, D] to the logarithms of the classes' shares of the votes, [B, K]."""

    bank: Tensor
    labels: Tensor

    def __init__(self, bank: Tensor, labels: Tensor, classes: int, k: int, temperature: float):
        super().__init__()
        self.register_buffer("bank", bank)
        self.register_buffer("labels", labels)
        self.classes, self.k, self.temperature = classes, min(k, len(labels)), temperature

    def forward(self, features: Tensor) -> Tensor:
        near, rows = (normalize(features, dim=1) @ self.bank.T).topk(self.k, dim=1)
        weights = (near / self.temperature).softmax(1)  # exp(cos / temperature), of all votes
        votes = features.new_zeros(len(features), self.classes)
        return (votes.scatter_add(1, self.labels[rows], weights) + _LEAST).log()


@dataclass(frozen=True)
class KNN(Probe):
    """Each of the ``k`` nearest training images votes for its class with exp(cosine / temperature).

    The defaults are those of Wu et al., lightly and CLAE's Plain branch; solo-learn has k=20 and
    0.07, CLAE's SimCLR branch 200 and 0.5. Nothing is selected, so the held-out part votes too, and
    all features are stored. Attacks have a gradient only through the neighbours of the moment.
    Raises ValueError for a k under 1 or a temperature that is not positive.
    """

    named: ClassVar[tuple[str, ...]] = ("k", "temperature")
    k: int = 200
    temperature: float = 0.1

    def __post_init__(self) -> None:
        if self.k < 1 or self.temperature <= 0:
            raise ValueError(
                f"k={self.k} must be at least 1 and temperature={self.temperature} positive"
            )

    @property
    def compared(self) -> bool:
        return False

    def fit(self, encoder: Encoder, data: ProbeData, generator: Generator, run: Run) -> nn.Module:
        features, labels = data.features(encoder, run)
        return _Votes(normalize(features, dim=1), labels, data.classes, self.k, self.temperature)

    def rebuild(self, width: int, classes: int, weights: Mapping[str, Tensor]) -> nn.Module:
        bank, labels = weights["bank"], weights["labels"]
        known = len(labels) > 0 and 0 <= int(labels.min()) <= int(labels.max()) < classes
        if bank.shape != (len(labels), width) or labels.dtype != torch.int64 or not known:
            raise RuntimeError(f"a bank of {tuple(bank.shape)} for features of {width}")
        return _Votes(bank, labels, classes, self.k, self.temperature)
