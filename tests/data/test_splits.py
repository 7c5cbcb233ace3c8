"""The held-out part and the order of images."""

import numpy as np
import pytest
from cifar_files import TRAIN, noise, same

from robench.contracts import DataError, Split
from robench.data.splits import by_content, digest, hold_out, in_three, take


def test_a_tenth_of_every_class_is_held_out_and_nothing_is_lost() -> None:
    labels = np.repeat(np.arange(5), [100, 50, 30, 20, 10])
    kept, held = hold_out(labels)
    assert np.bincount(labels[held]).tolist() == [10, 5, 3, 2, 1]
    assert sorted([*kept, *held]) == list(range(len(labels)))


def test_the_rule_is_the_same_everywhere_and_always() -> None:
    kept, held = hold_out(np.arange(40) % 2)
    assert held.tolist() == [3, 8, 16, 29]
    assert len(kept) == 36


def test_a_small_class_gives_one_and_a_single_image_stays() -> None:
    labels = np.array([0, 0, 1, 2, 2, 2])
    _, held = hold_out(labels)
    assert sorted(labels[held]) == [0, 2]


def test_the_order_looks_random_and_depends_on_the_images_alone() -> None:
    order = np.random.default_rng(0).permutation(len(TRAIN))
    shuffled = take(TRAIN, order)
    assert same(*(in_three(one, one, ("a",) * 10) for one in (TRAIN, shuffled)))
    labels = by_content(Split(noise(400, 3).images, np.repeat(np.arange(10), 40))).labels
    assert len(set(labels[:40].tolist())) > 5


def test_images_stay_with_their_labels() -> None:
    data = in_three(TRAIN, noise(4, 5), ("a",) * 10)
    of = {image.tobytes(): label for image, label in zip(TRAIN.images, TRAIN.labels, strict=True)}
    found = [*zip(data.train.images, data.train.labels, strict=True)]
    found += zip(data.held_out.images, data.held_out.labels, strict=True)
    assert all(of[image.tobytes()] == label for image, label in found)
    assert len(found) == len(of) == 20


def test_nothing_to_hold_out_is_said() -> None:
    lonely = Split(TRAIN.images[:3], np.arange(3))
    with pytest.raises(DataError, match="no class has two of the 3 training images"):
        in_three(lonely, lonely, ("a", "b", "c"))


def test_a_digest_is_of_the_images_and_labels_of_its_rows() -> None:
    rows = np.array([3, 1])
    assert digest(TRAIN, rows) == digest(take(TRAIN, rows))
    images = TRAIN.images.copy()
    images[2, 0, 0, 0] ^= 1
    other, relabelled = Split(images, TRAIN.labels), Split(TRAIN.images, TRAIN.labels[::-1])
    assert digest(TRAIN, rows) == digest(other, rows)
    different = [TRAIN, other, relabelled, take(TRAIN, rows), take(TRAIN, rows[::-1])]
    assert len({digest(split) for split in different}) == 5
