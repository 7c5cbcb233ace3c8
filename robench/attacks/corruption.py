"""Common corruptions (Hendrycks & Dietterich 2019, arXiv 1903.12261), for any data set."""

import hashlib
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Generator, Tensor

from robench.attacks import _blurs_and_noise, _weather_and_files
from robench.contracts import Attack, Attacked, Run, Target
from robench.grid.spec import nearest

KINDS = (
    *("gaussian-noise", "shot-noise", "impulse-noise", "defocus-blur", "glass-blur"),
    *("motion-blur", "zoom-blur", "snow", "frost", "fog", "brightness", "contrast"),
    *("elastic-transform", "pixelate", "jpeg-compression"),
)
"""The 15 that mean accuracies are over."""

EXTRA = ("speckle-noise", "gaussian-blur", "spatter", "saturate")


@dataclass(frozen=True)
class Corruption(Attack):
    """One of CIFAR-10-C's 15 corruptions, or of its 4 extra ones, at a ``severity`` of 1 to 5.

    The constants are those of the official maker for CIFAR, not ImageNet's. Nothing bounds the
    change, and nobody searches for it. The draws depend on the image alone, so that all methods see
    the same corrupted images. Frost and the water of spatter are drawn otherwise than in the
    official files, and so are all random draws: compare with published numbers by those files only.

    Raises ValueError for another kind or severity.
    """

    needs: ClassVar[frozenset[str]] = frozenset()
    kind: str = "gaussian-noise"
    severity: int = 3

    def __post_init__(self) -> None:
        if self.kind not in KINDS + EXTRA:
            hint = nearest(self.kind, [*KINDS, *EXTRA])
            raise ValueError(f"there is no corruption '{self.kind}'; {hint}")
        if self.severity not in range(1, 6):
            raise ValueError(f"severity={self.severity} should be from 1 to 5")

    @property
    def ball(self) -> None:
        return None

    def passes(self, classes: int) -> tuple[float, float]:
        return 0.0, 0.0

    def __call__(
        self, target: Target, images: Tensor, labels: Tensor, generator: Generator, run: Run
    ) -> Attacked:
        pixels = images.mul(255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
        made = np.stack([corrupted(one, self.kind, self.severity) for one in pixels])
        return Attacked(torch.from_numpy(made).to(images.device).permute(0, 3, 1, 2) / 255)


def corrupted(pixels: npt.NDArray[np.uint8], kind: str, severity: int) -> npt.NDArray[np.uint8]:
    """The corrupted image, both uint8 [H, W, 3]; fractions are cut off as in the official files."""
    name = kind.replace("-", "_")
    room = _blurs_and_noise if hasattr(_blurs_and_noise, name) else _weather_and_files
    text = f"{kind} {severity} ".encode() + np.ascontiguousarray(pixels).tobytes()
    dice = np.random.default_rng(int.from_bytes(hashlib.sha256(text).digest()[:16]))
    made = getattr(room, name)(pixels / 255, severity - 1, dice)
    # A whole level that comes back as 199.99999 is 200.
    levels = np.clip(np.asarray(made), 0, 1) * 255 + 1e-6
    return np.asarray(levels, np.uint8)
