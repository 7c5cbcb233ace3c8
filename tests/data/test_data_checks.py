"""Images and labels are checked where they enter."""

from dataclasses import replace

import numpy as np
import pytest
from cifar_files import TEST, TRAIN

from robench.contracts import Data, DataError, Split
from robench.data.checks import check_data, check_labels

DATA = Data(TRAIN, TEST, TEST, tuple("abcdefghij"))
ONE = Split(TEST.images, TEST.labels * 0)
HALF = Split(TRAIN.images, TRAIN.labels.astype(np.float32))


def test_a_whole_data_set_passes() -> None:
    check_data(DATA, "here")  # a class may be missing in test


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train": Split(TRAIN.images / np.float32(255), TRAIN.labels)}, "train: images are float"),
        ({"test": Split(TEST.images[:, :1], TEST.labels)}, "test: images are uint8 [8, 1, 32, 32]"),
        (
            {"test": Split(TEST.images[..., :9], TEST.labels)},
            "test: images are uint8 [8, 3, 32, 9]",
        ),
        ({"test": Split(TEST.images, TEST.labels[:7])}, "test: 8 images but 7 labels"),
        ({"test": Split(TEST.images, TEST.labels[:, None])}, "test: 8 images but 8×1 labels"),
        (
            {"test": Split(list(TEST.images), TEST.labels)},
            "test.images is a list, expected a ndarray; a data set",
        ),
        ({"test": Split(TEST.images, TEST.labels.tolist())}, "test.labels is a list, expected a"),
        ({"held_out": None}, "held_out.images is a NoneType"),
        ({"classes": 10}, "classes is a int, expected a tuple"),
        ({"test": Split(TEST.images, TEST.labels - 1)}, "test: label -1 in row 0 is out of range"),
        ({"held_out": Split(TEST.images[:0], TEST.labels[:0])}, "held_out: no images in it"),
        ({"test": HALF}, "test: labels are float32, expected whole numbers"),
        ({"classes": tuple("abcdefghi")}, "train: label 9 in row 18 is out of range, expected 0"),
        ({"classes": tuple("abcdefghijk")}, "no training image of class 10 ('k'); expected"),
        ({"train": Split(TRAIN.images, TRAIN.labels % 9)}, "no training image of class 9 ('j')"),
        ({"train": ONE, "held_out": ONE, "test": ONE, "classes": ("a",)}, "one class, expected at"),
    ],
)
def test_what_does_not_fit_is_said_in_a_sentence(change: dict[str, object], message: str) -> None:
    with pytest.raises(DataError) as caught:
        check_data(replace(DATA, **change), "here")
    assert str(caught.value).startswith("here")
    assert message in str(caught.value)


def test_labels_become_int64_and_large_ones_do_not_wrap() -> None:
    assert check_labels(np.array([0, 2], np.uint8), 3, "here").dtype == np.int64
    with pytest.raises(DataError, match="label 18446744073709551615 in row 1 is out of range"):
        check_labels(np.array([0, 2**64 - 1], np.uint64), 3, "here")
