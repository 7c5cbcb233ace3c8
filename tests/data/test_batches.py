"""Pickles are read without running them."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from cifar_files import TEST, contents, described, one_line, quiet, write_batches

from robench.contracts import DataError
from robench.data.batches import unpickle
from robench.data.layouts import load

RAN: list[str] = []


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return RAN.append, ("it ran",)


def python2_batch(pixels: bytes, labels: bytes) -> bytes:
    """A batch as Python 2 and an old numpy pickled it: byte strings, an old module's name."""
    n = len(labels)
    return b"".join(
        [
            b"\x80\x02}(",
            b"U\x04datacnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R",
            b"(K\x01K" + bytes([n]) + b"M\x00\x0c\x86",
            b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89",
            b"T" + len(pixels).to_bytes(4, "little") + pixels + b"tb",
            b"U\x06labels](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e",
            b"u.",
        ]
    )


def test_a_batch_of_python_2_is_read() -> None:
    batch = unpickle(python2_batch(TEST.images.tobytes(), bytes([3, 1] * 4)), "here")
    assert batch["data"].dtype == np.uint8
    assert np.array_equal(batch["data"].reshape(-1, 3, 32, 32), TEST.images)
    assert batch["labels"] == [3, 1] * 4


@pytest.mark.parametrize("protocol", range(2, 6))
def test_code_in_a_pickle_is_refused_and_not_run(protocol: int) -> None:
    with pytest.raises(DataError) as caught:
        unpickle(pickle.dumps({"data": Evil()}, protocol), "here")
    assert "here: the pickle asks for " in one_line(caught.value)
    assert RAN == []


@pytest.mark.parametrize(
    "state",
    [
        "(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x3ft",  # flags: it holds pointers
        "(K\x03U\x01|(U\x02u1K\x02\x85\x86NNK\x10K\x01K\x00t",  # an array in each number
        "(K\x03U\x01>NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t",
        "N",
    ],
)
def test_what_a_type_says_of_itself_is_not_obeyed(state: str) -> None:
    """numpy's own would take a number's size, and whether it is a pointer, from the pickle."""
    number = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R" + state.encode("latin1") + b"b"
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    content = b"\x80\x02}U\x04data" + array + b"(K\x01K\x02\x85" + number + b"\x89U\x02abtbs."
    if "K\x3f" in state:  # all that is asked for is left out
        assert unpickle(content, "here")["data"].tolist() == [97, 98]
        assert unpickle(content, "here")["data"].dtype == np.dtype("u1")
        return
    with pytest.raises(DataError, match="here: the pickle sets what no batch sets"):
        unpickle(content, "here")


@pytest.mark.parametrize(
    "codes",
    [b"cos\nsystem\n", b"c__builtin__\neval\n", b"i__main__\nx\n", b"\x82\x01", b"P1\n", b"K\x01Q"],
)
def test_whatever_could_import_or_call_is_refused(codes: bytes) -> None:
    with pytest.raises(DataError, match="which no batch"):
        unpickle(b"\x80\x02" + codes + b".", "here")


def test_the_state_of_a_name_is_not_set() -> None:
    """Python's unpickler sets attributes of whatever lies on its stack."""
    for name in (b"numpy\nndarray", b"numpy\ndtype", b"numpy.core.multiarray\n_reconstruct"):
        with pytest.raises(DataError, match="the pickle sets what no batch sets"):
            unpickle(b"\x80\x02c" + name + b"\nN}U\x01xK\x01s\x86b.", "here")


def test_labels_that_unfold_without_end_are_refused(tmp_path: Path) -> None:
    nested: object = [0, 1]
    for _ in range(60):
        nested = [nested, nested]
    batch = {"data": np.zeros((2, 3072), np.uint8), "labels": nested}
    files = {**contents(), "test_batch": pickle.dumps(batch, protocol=4)}
    write_batches(tmp_path, files)
    with pytest.raises(DataError, match="'labels' should be whole numbers"):
        load(described(files), tmp_path, quiet)


def test_a_shape_that_its_bytes_lack_is_refused() -> None:
    batch = pickle.dumps({"data": np.zeros((2, 4), np.uint8)}, protocol=4)
    assert batch.count(b"K\x02K\x04\x86") == 1
    with pytest.raises(DataError, match=r"shape \[9, 153\] is not that of its bytes"):
        unpickle(batch.replace(b"K\x02K\x04\x86", b"K\x09K\x99\x86"), "here")


def test_an_array_of_objects_is_refused() -> None:
    content = pickle.dumps({"data": np.array([None, {}], dtype=object)}, protocol=4)
    with pytest.raises(DataError, match="array of type 'O8', expected whole numbers"):
        unpickle(content, "here")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a readable pickle"),
        (b"\x80\x04]", "not a readable pickle"),
        (pickle.dumps([1]), "holds a list"),
    ],
)
def test_no_dictionary_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=f"here: {message}"):
        unpickle(content, "here")


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (
            {"data": np.zeros((2, 3072), np.uint8), "labels": [0, 10]},
            "label 10 in row 1 is out of range",
        ),
        (
            {"data": np.zeros((2, 3072), np.uint8), "labels": [-1, 0]},
            "label -1 in row 0 is out of range",
        ),
        ({"data": np.zeros((2, 3072), np.uint8), "labels": [0]}, "as many 'labels' as rows"),
        (
            {"data": np.zeros((2, 3000), np.uint8), "labels": [0, 1]},
            "expected 3×32×32 pixels a row",
        ),
        ({"data": np.zeros((2, 3072), np.int64), "labels": [0, 1]}, "'data' is no table of bytes"),
        ({"labels": [0, 1]}, "'data' is no table of bytes"),
    ],
)
def test_a_batch_of_another_content_is_refused(
    tmp_path: Path, batch: dict[str, object], message: str
) -> None:
    files = {**contents(), "test_batch": pickle.dumps(batch, protocol=4)}
    write_batches(tmp_path, files)
    with pytest.raises(DataError, match=message) as caught:
        load(described(files), tmp_path, quiet)
    assert "test_batch" in one_line(caught.value)
