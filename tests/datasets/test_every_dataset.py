"""What each data set that needs no files promises; a new ``shapes`` file is tested without an edit.

Data sets that live on disk are tested beside their readers.
"""

import dataclasses
import hashlib
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from robench.catalog.catalog import Catalog
from robench.contracts import Data, Dataset, Split
from robench.engine.progress import silent
from robench.tensors.modes import preserved_random_state

NAMES = [name for name in Catalog().names("datasets") if name.startswith("shapes")]
NOWHERE = Path("/nowhere")  # generated data sets read no files

each_name = pytest.mark.parametrize("name", NAMES)


@cache
def load(name: str) -> Data:
    dataset: Dataset = Catalog().build("datasets", name)
    return dataset.load(NOWHERE, silent)


def parts(data: Data) -> dict[str, Split]:
    return {"train": data.train, "held_out": data.held_out, "test": data.test}


def digests(split: Split) -> list[bytes]:
    return [hashlib.sha256(image.tobytes()).digest() for image in split.images]


def test_there_are_two_of_them() -> None:
    assert {"shapes10", "shapes100"} <= set(NAMES)


@each_name
def test_it_is_a_frozen_value_of_plain_defaults(name: str) -> None:
    kind = Catalog().component("datasets", name)
    assert kind() == kind()
    assert hash(kind()) == hash(kind())
    plain = (bool, int, float, str, type(None))
    assert all(isinstance(field.default, plain) for field in dataclasses.fields(kind))
    assert kind.__dataclass_params__.frozen


@each_name
@pytest.mark.parametrize("part", ["train", "held_out", "test"])
def test_a_part_holds_images_and_labels(name: str, part: str) -> None:
    data = load(name)
    split = parts(data)[part]
    assert split.images.dtype == np.uint8
    assert split.labels.dtype == np.int64
    assert split.images.shape == (len(split), 3, *split.images.shape[2:])
    assert split.images.shape[2] == split.images.shape[3]
    assert split.labels.shape == (len(split),)
    assert set(split.labels.tolist()) == set(range(len(data.classes)))


@each_name
def test_every_part_is_balanced_enough_to_learn_from(name: str) -> None:
    data = load(name)
    for split in parts(data).values():
        counts = np.bincount(split.labels, minlength=len(data.classes))
        assert counts.min() >= 0.3 * len(split) / len(data.classes)


@each_name
def test_no_image_is_in_two_parts_or_twice(name: str) -> None:
    seen = [digest for split in parts(load(name)).values() for digest in digests(split)]
    assert len(set(seen)) == len(seen)


@each_name
def test_classes_have_names_of_their_own(name: str) -> None:
    classes = load(name).classes
    assert len(set(classes)) == len(classes)
    assert all(classes)


@each_name
def test_images_use_the_pixel_range(name: str) -> None:
    images = load(name).train.images[:500]
    assert images.min() < 30
    assert images.max() > 225
    assert (images.std(axis=(1, 2, 3)) > 5).mean() > 0.95


@each_name
def test_it_is_always_the_same_and_leaves_the_global_random_state(name: str) -> None:
    before = torch.get_rng_state(), repr(np.random.get_state())  # noqa: NPY002
    with preserved_random_state():
        torch.manual_seed(5)
        np.random.seed(5)  # noqa: NPY002
        state = repr(np.random.get_state())  # noqa: NPY002
        again = Catalog().build("datasets", name).load(NOWHERE, silent)
        assert repr(np.random.get_state()) == state  # noqa: NPY002
    for one, other in zip(parts(load(name)).values(), parts(again).values(), strict=True):
        assert np.array_equal(one.images, other.images)
        assert np.array_equal(one.labels, other.labels)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert repr(np.random.get_state()) == before[1]  # noqa: NPY002


def test_the_two_share_no_class() -> None:
    assert not set(load("shapes10").classes) & set(load("shapes100").classes)
    assert (len(load("shapes10").classes), len(load("shapes100").classes)) == (10, 100)


def test_the_size_is_as_asked_for() -> None:
    data = Catalog().build("datasets", "shapes10(size=20)").load(NOWHERE, silent)
    assert data.train.images.shape[1:] == (3, 20, 20)
