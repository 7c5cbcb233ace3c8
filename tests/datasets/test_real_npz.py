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
    np.savez_compressed(path, **made)
    return path


def refused(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        Npz(str(path)).load(path.parent, silent)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 1), (6, 5, 3)])
@pytest.mark.parametrize("flat", [False, True])
def test_images_keep_their_labels_and_parts(
    tmp_path: Path, shape: tuple[int, ...], flat: bool
) -> None:
    """Grey ones get three equal channels, and labels may be [n] or [n, 1]."""
    made = arrays(shape)
    if flat:
        made = {key: a[:, 0] if key.endswith("labels") else a for key, a in made.items()}
    data = Npz(str(write(tmp_path / "a.npz", made))).load(tmp_path, silent)
    assert data.classes == ("0", "1", "2")
    for part, key in ((data.train, "train"), (data.held_out, "val"), (data.test, "test")):
        images = made[f"{key}_images"]
        images = np.broadcast_to(images.reshape(len(images), 6, 5, -1), (len(images), 6, 5, 3))
        of = dict(
            zip((i.tobytes() for i in images), made[f"{key}_labels"].ravel().tolist(), strict=True)
        )
        found = [image.transpose(1, 2, 0).tobytes() for image in part.images]
        assert {image: of[image] for image in found} == of
        assert [of[image] for image in found] == part.labels.tolist()
        assert part.labels.dtype == np.int64


def test_a_relative_path_is_looked_up_here_then_in_the_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, root = tmp_path / "here", tmp_path / "root"
    here.mkdir()
    root.mkdir()
    monkeypatch.chdir(here)
    for folder, size in ((root, 4), (here, 7)):
        write(folder / "a.npz", arrays((size, size)))
        assert Npz("a.npz").load(root, silent).train.images.shape[2:] == (size, size)
    with pytest.raises(DataError, match=r"'b.npz' does not exist .*here/b.npz and .*root/b.npz"):
        Npz("b.npz").load(root, silent)


def test_missing_keys_are_listed_beside_the_expected(tmp_path: Path) -> None:
    path = write(tmp_path / "a.npz", {"x": np.zeros(3), "y": np.zeros(3)})
    assert "has the keys x, y; expected train_images, train_labels, val_images" in refused(path)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("val_images", np.zeros((3, 6, 5), np.float32), "val_images is float32 [3, 6, 5], expec"),
        ("train_images", np.zeros((9, 4, 6, 5), np.uint8), "is uint8 [9, 4, 6, 5], expected"),
        ("val_images", np.array([{}, 1, 1], dtype=object), "Object arrays cannot be loaded"),
        ("val_labels", np.zeros(3), "val_labels: labels are float64, expected whole numbers"),
        ("val_labels", np.zeros((3, 2), int), "val_labels is [3, 2], expected one number an image"),
        ("val_labels", np.zeros(4, int), "val_labels is [4], expected one number an image, [3]"),
        ("test_labels", np.array([0, 1, 2, 3, 0, 1]), "test_labels: label 3 in row 3 is out of"),
        ("train_labels", np.array([0, 1, -2] * 3), "train_labels: label -2 in row 2 is out of"),
        ("train_labels", np.array([0, 1, 2**50] * 3), "is out of range, expected 0 to 8"),
    ],
)
def test_other_content_is_refused(tmp_path: Path, key: str, value: Any, message: str) -> None:
    assert message in refused(write(tmp_path / "a.npz", {**arrays(), key: value}))


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-30], lambda b: b"", lambda b: b[:70] + b"xxxx" + b[74:]]
)
def test_a_damaged_file_is_named(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = write(tmp_path / "a.npz", arrays())
    path.write_bytes(damage(path.read_bytes()))
    assert "expected a whole .npz file" in refused(path)
