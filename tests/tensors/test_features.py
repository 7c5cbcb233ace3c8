"""Features come from an encoder in eval mode, and a fingerprint sees every change to it."""

import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Generator, Tensor, nn

from robench.tensors.batchnorm import ADVERSARIAL, CLEAN, add_branch, use_branch
from robench.tensors.features import extract, fingerprint, to_images
from robench.tensors.modes import preserved_random_state


@pytest.fixture
def encoder() -> nn.Module:
    with preserved_random_state():
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten())


@pytest.fixture
def images() -> Tensor:
    return torch.rand(7, 3, 5, 5, generator=Generator().manual_seed(1))


def test_every_stored_level_becomes_its_share_of_255() -> None:
    stored = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)
    images = to_images(stored, "cpu")
    assert images.dtype == torch.float32
    expected = np.arange(256, dtype=np.float32) / np.float32(255)
    assert np.array_equal(images.flatten().numpy(), expected)


def test_a_memory_map_is_read_and_left_alone(tmp_path: Path) -> None:
    stored = np.full((2, 3, 4, 4), 51, np.uint8)
    np.save(tmp_path / "images.npy", stored)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    images = to_images(mapped[[1]], "cpu")
    images.zero_()
    assert to_images(mapped, "cpu").unique().tolist() == [torch.tensor(0.2).item()]


def test_extraction_does_not_depend_on_the_batches(encoder: nn.Module, images: Tensor) -> None:
    whole = extract(encoder, [images])
    torch.testing.assert_close(extract(encoder, images.split(2)), whole, rtol=0, atol=1e-6)
    assert whole.shape == (7, 36)
    assert not whole.requires_grad


def test_extraction_leaves_the_encoder_as_it_was(encoder: nn.Module, images: Tensor) -> None:
    encoder.train()
    encoder[1].eval()
    before = fingerprint(encoder)
    found = extract(encoder, [images])
    assert fingerprint(encoder) == before
    assert [part.training for part in encoder] == [True, False, True, True]
    assert torch.equal(found, encoder.eval()(images))  # by its running statistics


def test_the_fingerprint_sees_a_parameter_a_buffer_and_a_name(encoder: nn.Module) -> None:
    seen = [fingerprint(encoder)]
    with torch.no_grad():
        encoder[0].weight[0, 0, 0, 0] += 1e-6
    seen.append(fingerprint(encoder))
    encoder[1].running_mean[2] += 1e-6
    seen.append(fingerprint(encoder))
    seen.append(fingerprint(nn.Sequential(encoder)))
    assert len(set(seen)) == 4


def test_the_fingerprint_is_blind_to_mode_and_memory_layout(encoder: nn.Module) -> None:
    before = fingerprint(encoder)
    encoder.eval().to(memory_format=torch.channels_last)
    assert fingerprint(encoder) == before


def test_the_fingerprint_is_the_same_on_every_machine() -> None:
    layer = nn.Linear(2, 1)
    layer.load_state_dict({"weight": torch.tensor([[1.0, 2.0]]), "bias": torch.tensor([3.0])})
    bias = b"bias (1,) torch.float32" + struct.pack("<f", 3.0)
    weight = b"weight (1, 2) torch.float32" + struct.pack("<2f", 1.0, 2.0)
    assert fingerprint(layer) == hashlib.sha256(bias + weight).hexdigest()


def test_a_fingerprint_sees_the_branch_and_what_is_never_saved(encoder: nn.Module) -> None:
    add_branch(encoder, ADVERSARIAL, momentum=0.1)
    before = fingerprint(encoder)
    use_branch(encoder, ADVERSARIAL)
    assert fingerprint(encoder) != before
    use_branch(encoder, CLEAN)
    assert fingerprint(encoder) == before
    encoder.register_buffer("mean", torch.zeros(1), persistent=False)
    with_buffer = fingerprint(encoder)
    assert with_buffer != before
    encoder.mean.add_(1)
    assert fingerprint(encoder) != with_buffer
