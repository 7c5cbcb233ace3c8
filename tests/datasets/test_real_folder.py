"""Data sets in image folders."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from robench.contracts import Data, DataError
from robench.datasets.folder import Folder
from robench.engine.progress import silent

COLOURS = {"blue": (10, 20, 200), "red": (200, 20, 10)}


def fill(folder: Path, count: int, form: str = "png", size: tuple[int, int] = (20, 12)) -> Path:
    """Images of two classes, each of one colour with one pixel of its own."""
    for name, colour in COLOURS.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            image = Image.new("RGB", size, colour)
            image.putpixel((size[0] // 2, size[1] // 2), (i, i, i))
            image.save(folder / name / f"{i}.{form}")
    return folder


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    return fill(tmp_path / "pets", 4)


def load(path: Path, size: int = 8) -> Data:
    return Folder(str(path), size).load(path.parent, silent)


def refused(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        load(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("form", ["png", "jpg", "bmp", "webp"])
def test_train_and_test_folders(tmp_path: Path, form: str) -> None:
    fill(tmp_path / "train", 10, form)
    fill(tmp_path / "test", 3, form)
    data = load(tmp_path)
    assert [len(part) for part in (data.train, data.held_out, data.test)] == [18, 2, 6]
    assert data.classes == ("blue", "red")
    assert data.train.images.shape[1:] == (3, 8, 8)
    for part in (data.train, data.held_out, data.test):
        bluer = part.images[:, 2, 0, 0] > part.images[:, 0, 0, 0]
        assert np.array_equal(bluer, part.labels == 0)


def test_without_them_a_fifth_is_for_testing(tmp_path: Path) -> None:
    fill(tmp_path / "pets", 20)
    data = Folder("pets").load(tmp_path, silent)
    parts = (data.train, data.held_out, data.test)
    assert [np.bincount(part.labels).tolist() for part in parts] == [[15, 15], [1, 1], [4, 4]]
    assert len({image.tobytes() for part in parts for image in part.images}) == 40


def test_the_centre_square_is_kept(tmp_path: Path) -> None:
    for i in range(8):
        path = tmp_path / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        image = Image.new("RGB", (40, 16), (0, 0, 0))
        image.paste((90, 90, 90), (12, 0, 28, 16))
        image.putpixel((20, 8), (i, i, i))
        image.save(path)
    images = load(tmp_path, size=16).train.images
    assert set(np.unique(images)) <= {*range(8), 90}
    assert (images == 90).mean() > 0.99


def test_a_class_that_test_or_val_lacks_does_not_shift_the_labels_after_it(tmp_path: Path) -> None:
    for part, names in (("train", "abcd"), ("test", "acd"), ("val", "bd")):
        for name in names:
            (tmp_path / part / name).mkdir(parents=True)
            for i in range(2):
                grey = 60 * "abcd".index(name) + 20
                image = Image.new("RGB", (9, 9), (grey, grey, grey + i))
                image.save(tmp_path / part / name / f"{i}.png")
    data = load(tmp_path, size=9)
    assert data.classes == ("a", "b", "c", "d")
    for part, present in (
        (data.train, [2, 2, 2, 2]),
        (data.test, [2, 0, 2, 2]),
        (data.held_out, [0, 2, 0, 2]),
    ):
        assert np.bincount(part.labels).tolist() == present
        assert np.array_equal(part.images[:, 0, 0, 0], 60 * part.labels + 20)


def test_photographs_are_turned_as_their_camera_was_held(pets: Path) -> None:
    """EXIF orientation 6: the picture's top is the file's left side."""
    image = Image.new("RGB", (12, 12), (0, 0, 0))
    image.paste((255, 255, 255), (0, 0, 6, 12))
    exif = Image.Exif()
    exif[0x0112] = 6
    for number in range(2):
        image.putpixel((11, 11), (0, 0, 255 * number))
        image.save(pets / "red" / f"turned{number}.png", exif=exif)
    data = load(pets, size=12)
    images = np.concatenate([part.images for part in (data.train, data.held_out, data.test)])
    turned = images[images[:, 1].mean((1, 2)) > 100]
    assert len(turned) == 2
    assert (turned[:, :, :6] == 255).all()
    assert (turned[:, :2, 6:] == 0).all()


def test_grey_palette_and_transparent_images_are_read_and_hidden_files_are_not(pets: Path) -> None:
    image = Image.open(pets / "red/0.png")
    image.convert("L").save(pets / "red/grey.png")
    image.convert("P").save(pets / "red/palette.png", transparency=bytes([0, 128, 255]))
    image.convert("RGBA").save(pets / "red/transparent.png")
    (pets / "red/.DS_Store").write_text("x")
    (pets / ".git").mkdir()
    data = load(pets)
    assert data.classes == ("blue", "red")
    assert sum(map(len, (data.train, data.held_out, data.test))) == 11


def test_no_image_and_one_of_16_bits_are_refused_by_name(pets: Path) -> None:
    Image.fromarray(np.full((20, 20), 40_000, np.uint16)).save(pets / "red/deep.png")
    assert "deep.png: the image has more than 8 bits a channel" in refused(pets)
    (pets / "red/deep.png").write_bytes(b"text")
    assert f"{pets / 'red/deep.png'}: not an image that can be decoded" in refused(pets)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "has 0 classes, expected at least two"),
        (["red/a.png"], "has 1 classes, expected at least two"),
        (["train/red/a.png", "train/blue/a.png"], "has no folder test/"),
        (["red/a.png", "notes.txt"], "notes.txt cannot be read (Not a directory); expected"),
        (["train/red/a.png", "test/green/a.png"], "test/green is a class that train/ does not"),
        (["red/nested/a.png", "blue/a.png"], "nested cannot be read (not a file)"),
        (["red/.hidden", "blue/a.png"], "red has no images"),
    ],
)
def test_other_shapes_of_folders_are_refused(
    tmp_path: Path, files: list[str], message: str
) -> None:
    for name in files:
        (tmp_path / "pets" / name).parent.mkdir(parents=True, exist_ok=True)
        fill(tmp_path / "other", 1)
        (tmp_path / "other/red/0.png").rename(tmp_path / "pets" / name)
    (tmp_path / "pets").mkdir(exist_ok=True)
    assert message in refused(tmp_path / "pets")


@pytest.mark.parametrize("size", [7, 513])
def test_a_size_out_of_range_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match=f"size={size} is out of range, expected 8 to 512"):
        Folder("pets", size)
