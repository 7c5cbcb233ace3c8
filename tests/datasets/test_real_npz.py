"""Data sets in .npz files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robench.contracts import DataError
from robench.datasets.npz import Npz
from robench.engine.progress import silent

Arrays = dict[str, np.ndarray[Any, Any]]


def arrays(shape: tuple[int, ...] = (6, 5)) -> Arrays:
    draw = np.random.default_rng(0)
    made: Arrays = {}
    for part, n in (("train", 9), ("val", 3), ("test", 6)):
        made[f"{part}_images"] = draw.integers(0, 256, (n, *shape), dtype=np.uint8)
        made[f"{part}_labels"] = (np.arange(n) % 3).astype(np.uint8)[:, None]
    return made


def write(path: Path, made: Arrays) -> Path:
    with path.open("wb") as file:
        np.savez_compressed(file, **made)
    return path


def refused(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        Npz(str(path)).load(path.parent, silent)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def rows(images: np.ndarray[Any, Any]) -> set[bytes]:
    return {image.tobytes() for image in images}


def test_grey_images_get_three_equal_channels_and_val_is_held_out(tmp_path: Path) -> None:
    made = arrays()
    path = write(tmp_path / "a.npz", made)
    data = Npz(str(path)).load(tmp_path, silent)
    for part, key in ((data.train, "train"), (data.held_out, "val"), (data.test, "test")):
        assert part.images.shape == (len(made[f"{key}_images"]), 3, 6, 5)
        assert all(np.array_equal(part.images[:, 0], part.images[:, c]) for c in (1, 2))
        assert rows(part.images[:, 0]) == rows(made[f"{key}_images"])
        of = {
            i.tobytes(): int(y[0])
            for i, y in zip(made[f"{key}_images"], made[f"{key}_labels"], strict=True)
        }
        found = zip(part.images[:, 0], part.labels, strict=True)
        assert all(of[image.tobytes()] == label for image, label in found)
    assert data.classes == ("0", "1", "2")
    assert data.test.labels.dtype == np.int64


def test_colours_stay_and_flat_labels_will_do(tmp_path: Path) -> None:
    made = arrays((6, 5, 3))
    made = {key: a[:, 0] if key.endswith("labels") else a for key, a in made.items()}
    path = write(tmp_path / "a.npz", made)
    data = Npz(str(path)).load(tmp_path, silent)
    assert rows(data.test.images) == rows(made["test_images"].transpose(0, 3, 1, 2))


def test_it_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.npz", arrays())
    first = Npz(str(path)).load(tmp_path, silent)
    monkeypatch.setattr("robench.data.npz.read", lambda path: pytest.fail("read again"))
    again = Npz(str(path)).load(tmp_path, silent)
    assert np.array_equal(first.train.images, again.train.images)
    assert isinstance(again.train.images, np.memmap)


def test_a_relative_path_is_looked_up_here_then_in_the_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, root = tmp_path / "here", tmp_path / "root"
    here.mkdir()
    root.mkdir()
    monkeypatch.chdir(here)
    write(root / "a.npz", arrays((4, 4)))
    assert Npz("a.npz").load(root, silent).train.images.shape[2:] == (4, 4)
    write(here / "a.npz", arrays((7, 7)))
    assert Npz("a.npz").load(root, silent).train.images.shape[2:] == (7, 7)
    with pytest.raises(
        DataError, match=r"'b.npz' does not exist \(looked for .*here/b.npz and .*root"
    ):
        Npz("b.npz").load(root, silent)


def test_missing_keys_are_listed_beside_the_expected(tmp_path: Path) -> None:
    path = write(tmp_path / "a.npz", {"x": np.zeros(3), "y": np.zeros(3)})
    assert "has the keys x, y; expected train_images, train_labels, val_images" in refused(path)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("val_images", np.zeros((3, 6, 5), np.float32), "val_images is float32 [3, 6, 5], expec"),
        ("val_labels", np.zeros(3), "val_labels is float64 [3], expected one whole number"),
        ("train_labels", np.array(["a"] * 9), "train_labels is <U1 [9], expected one whole"),
        ("val_labels", np.zeros((3, 2), int), "val_labels is int64 [3, 2], expected one"),
        ("val_labels", np.zeros(4, int), "one whole number for each image, [3]"),
        ("test_labels", np.array([0, 1, 2, 3, 0, 1]), "test_labels: label 3 in row 3 is out of"),
        ("train_labels", np.array([0, 1, -2] * 3), "train_labels: label -2 in row 2 is out of"),
        ("train_labels", np.array([0, 1, 2**50] * 3), "but there are only 9 images"),
        ("train_labels", np.array([0] * 9), "label 1 in row 1 is out of range"),
        ("test_images", np.zeros((6, 5, 6), np.uint8), "are 5×6 pixels, the training images 6×5"),
        ("train_images", np.zeros((9, 4, 6, 5), np.uint8), "is uint8 [9, 4, 6, 5], expected"),
        ("val_images", np.zeros((0, 6, 5), np.uint8), "expected one whole number for each image"),
        ("val_images", np.array([{}, 1, 1], dtype=object), "Object arrays cannot be loaded"),
    ],
)
def test_other_content_is_refused(tmp_path: Path, key: str, value: Any, message: str) -> None:
    assert message in refused(write(tmp_path / "a.npz", {**arrays(), key: value}))


@pytest.mark.parametrize(
    "damage",
    [
        lambda b: b[:-30],
        lambda b: b[: len(b) // 2],
        lambda b: b"",
        lambda b: b[:70] + b"xxxx" + b[74:],
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = write(tmp_path / "a.npz", arrays())
    path.write_bytes(damage(path.read_bytes()))
    assert "expected a whole .npz file" in refused(path)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ([1, 2, 3], "no training image of class 0 ('0'); expected images of all 4 classes"),
        ([0, 1, 3], "no training image of class 2 ('2')"),
        ([0, 0, 0], "one class, expected at least two"),
    ],
)
def test_labels_must_be_numbered_from_0_without_gaps(
    tmp_path: Path, classes: list[int], message: str
) -> None:
    made = arrays()
    renamed = {k: np.array(classes)[a] if k.endswith("labels") else a for k, a in made.items()}
    assert message in refused(write(tmp_path / "a.npz", renamed))
