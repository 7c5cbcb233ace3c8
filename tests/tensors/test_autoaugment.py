"""AutoAugment is torchvision's, image by image, and its draws are the generator's."""

import torch
from torch import Generator
from torchvision.transforms import AutoAugment, AutoAugmentPolicy

from robench.tensors.autoaugment import autoaugment
from robench.tensors.modes import preserved_random_state


def test_each_image_is_what_torchvision_makes_of_it_alone() -> None:
    count = 200
    pixels = torch.randint(256, (count, 3, 16, 16), generator=Generator().manual_seed(0))
    images = pixels.to(torch.uint8).double() / 255
    ours = autoaugment(images, Generator().manual_seed(1))
    dice = Generator().manual_seed(1)
    chosen = torch.randint(25, (count,), generator=dice)
    chance = torch.rand(count, 2, generator=dice)
    signs = torch.randint(2, (count, 2), generator=dice)
    changed = 0
    for i in range(count):
        transform = AutoAugment(AutoAugmentPolicy.CIFAR10)
        transform.get_params = lambda _, i=i: (int(chosen[i]), chance[i], signs[i])
        expected = transform(pixels[i].to(torch.uint8))
        assert torch.equal(ours[i].mul(255).round(), expected.double()), i
        changed += not torch.equal(expected, pixels[i].to(torch.uint8))
    assert changed > count / 2


def test_it_draws_from_its_generator_alone() -> None:
    images = torch.rand(20, 3, 8, 8, generator=Generator().manual_seed(0))
    with preserved_random_state():
        torch.manual_seed(3)
        before, first = torch.get_rng_state(), autoaugment(images, Generator().manual_seed(1))
        assert torch.equal(torch.get_rng_state(), before)
        torch.manual_seed(4)
        assert torch.equal(autoaugment(images, Generator().manual_seed(1)), first)
        assert not torch.equal(autoaugment(images, Generator().manual_seed(2)), first)
