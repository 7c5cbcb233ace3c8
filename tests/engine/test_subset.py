"""Subsets: fixed for ever, one within the other, and the test part whole."""

import hashlib

import numpy as np
import pytest

from robench.contracts import Data, Split
from robench.engine.subset import rows, training_subset


def split(count: int, start: int) -> Split:
    """Images that carry their number."""
    numbers = np.arange(start, start + count)
    images = np.zeros((count, 3, 2, 2), np.uint8)
    images[:, 0, 0, 0], images[:, 1, 0, 0] = numbers % 256, numbers // 256
    return Split(images, numbers % 10)


@pytest.fixture
def data() -> Data:
    return Data(split(900, 0), split(100, 900), split(50, 1000), tuple("abcdefghij"))


@pytest.mark.parametrize("count", [None, 10, 11, 1000])
def test_all_rows_where_there_are_no_more(count: int | None) -> None:
    assert rows(10, count).tolist() == list(range(10))


@pytest.mark.parametrize("count", [0, 1, 100, 999])
def test_rows_are_that_many_in_order_and_not_the_first(count: int) -> None:
    chosen = rows(1000, count)
    assert len(chosen) == count
    assert (np.diff(chosen) > 0).all()
    assert chosen.dtype == np.int64
    if count == 100:
        assert chosen.max() > 900
        assert np.bincount(chosen // 100, minlength=10).min() > 0


def test_a_smaller_subset_lies_in_a_larger_one() -> None:
    larger = set(rows(1000, 1000).tolist())
    for count in range(950, 0, -50):
        smaller = set(rows(1000, count).tolist())
        assert smaller < larger
        larger = smaller


def test_the_choice_is_the_same_for_ever() -> None:
    chosen = rows(10_000, 500)
    assert chosen[:5].tolist() == [5, 6, 7, 43, 58]
    digest = hashlib.sha256(chosen.astype("<i8").tobytes()).hexdigest()
    assert digest == "f30adda0c25863ab0a7b693858cf575ee0659c1cf60505f59d672607a8a84272"


def test_a_training_subset_keeps_the_held_out_part_s_share(data: Data) -> None:
    part = training_subset(data, 200)
    assert (len(part.train), len(part.held_out)) == (180, 20)
    assert part.test is data.test
    assert part.classes == data.classes


def test_images_stay_with_their_labels_and_in_their_part(data: Data) -> None:
    part = training_subset(data, 300)
    for piece, low, high in ((part.train, 0, 900), (part.held_out, 900, 1000)):
        numbers = piece.images[:, 0, 0, 0] + 256 * piece.images[:, 1, 0, 0].astype(int)
        assert np.array_equal(numbers % 10, piece.labels)
        assert low <= numbers.min() <= numbers.max() < high


@pytest.mark.parametrize("count", [None, 1000, 5000])
def test_the_whole_is_the_whole(data: Data, count: int | None) -> None:
    assert training_subset(data, count) is data
