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
    assert sorted(rows(10, count).tolist()) == list(range(10))


@pytest.mark.parametrize("count", [0, 1, 100, 999])
def test_rows_are_that_many_and_not_the_first(count: int) -> None:
    chosen = rows(1000, count)
    assert len(chosen) == count
    assert len(set(chosen.tolist())) == count
    assert chosen.dtype == np.int64
    if count == 100:
        assert chosen.max() > 900
        assert np.bincount(chosen // 100, minlength=10).min() > 0


def test_a_smaller_subset_is_the_beginning_of_a_larger_one() -> None:
    every = rows(1000)
    for count in range(0, 1001, 50):
        assert np.array_equal(rows(1000, count), every[:count])


def test_the_choice_is_the_same_for_ever() -> None:
    chosen = rows(10_000, 500)
    assert chosen[:5].tolist() == [1721, 8211, 3481, 6191, 445]
    digest = hashlib.sha256(chosen.astype("<i8").tobytes()).hexdigest()
    assert digest == "677b434fde2918fab866a57547734e8b68d4ba89af63f55de0c27ac03a25670d"


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
