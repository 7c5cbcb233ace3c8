"""AutoAugment's policy for CIFAR-10, drawn for each image (Cubuk et al. 2019, arXiv 1805.09501)."""

import torch
from torch import Generator, Tensor
from torchvision.transforms import AutoAugment, AutoAugmentPolicy

_POLICY = AutoAugmentPolicy.CIFAR10


class _Drawn(AutoAugment):  # type: ignore[misc]
    """torchvision's transform with draws that are given."""

    def __init__(self, draws: Tensor) -> None:
        super().__init__(_POLICY)
        self.draws = draws

    def get_params(self, transform_num: int) -> tuple[int, Tensor, Tensor]:
        return int(self.draws[0]), self.draws[1:3], self.draws[3:]


def autoaugment(images: Tensor, generator: Generator) -> Tensor:
    """One view of each image [B, 3, H, W] in [0, 1], as torchvision makes it.

    Its own transform draws once a call, and from the global random state.
    """
    pixels = images.mul(255).round_().to(torch.uint8)
    policies = AutoAugment(_POLICY).policies
    count, device = len(images), images.device
    chosen = torch.randint(len(policies), (count, 1), generator=generator, device=device)
    chance = torch.rand(count, 2, generator=generator, device=device)
    signs = torch.randint(2, (count, 2), generator=generator, device=device)
    limits = torch.tensor([[p for _, p, _ in pair] for pair in policies], device=device)
    # 0 is below every probability, and 2 is above.
    left_out = (chance > limits[chosen.squeeze(1)]) * 2
    draws = torch.cat([chosen, left_out, signs], 1)
    for row in torch.unique(draws, dim=0):
        whose = (draws == row).all(1).nonzero().squeeze(1)
        pixels = pixels.index_copy(0, whose, _Drawn(row)(pixels[whose]))
    return pixels.to(images.dtype) / 255
