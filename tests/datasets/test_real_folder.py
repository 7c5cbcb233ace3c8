"""Data sets in image folders."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from robench.contracts import DataError
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


def refused(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        Folder(str(path), size=8).load(path.parent, silent)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("form", ["png", "jpg", "bmp", "webp"])
def test_train_and_test_folders(tmp_path: Path, form: str) -> None:
    fill(tmp_path / "pets/train", 10, form)
    fill(tmp_path / "pets/test", 3, form)
    data = Folder(str(tmp_path / "pets"), size=8).load(tmp_path, silent)
    assert [len(part) for part in (data.train, data.held_out, data.test)] == [18, 2, 6]
    assert data.classes == ("blue", "red")
    assert data.train.images.shape[1:] == (3, 8, 8)
    for part in (data.train, data.held_out, data.test):
        bluer = part.images[:, 2, 0, 0] > part.images[:, 0, 0, 0]
        assert np.array_equal(bluer, part.labels == 0)


def test_without_them_a_fifth_is_for_testing(tmp_path: Path) -> None:
    fill(tmp_path / "pets", 20)
    data = Folder("pets").load(tmp_path, silent)
    assert np.bincount(data.test.labels).tolist() == [4, 4]
    assert np.bincount(data.held_out.labels).tolist() == [1, 1]
    assert np.bincount(data.train.labels).tolist() == [15, 15]
    parts = (data.train, data.held_out, data.test)
    assert len({image.tobytes() for part in parts for image in part.images}) == 40


def test_a_val_folder_is_the_held_out_part(tmp_path: Path) -> None:
    for part, count in (("train", 5), ("val", 3), ("test", 2)):
        fill(tmp_path / "pets" / part, count)
    data = Folder("pets").load(tmp_path, silent)
    assert [len(part) for part in (data.train, data.held_out, data.test)] == [10, 6, 4]


def test_the_centre_square_is_kept(tmp_path: Path) -> None:
    for name in COLOURS:
        for i in range(4):
            folder = tmp_path / "pets" / name
            folder.mkdir(parents=True, exist_ok=True)
            image = Image.new("RGB", (40, 16), (0, 0, 0))
            image.paste((90, 90, 90), (12, 0, 28, 16))
            image.putpixel((20, 8), (i, i, i))
            image.save(folder / f"{i}.png")
    data = Folder("pets", size=16).load(tmp_path, silent)
    assert set(np.unique(data.train.images)) <= {0, 1, 2, 3, 90}
    assert (data.train.images == 90).mean() > 0.99


def test_each_size_and_folder_has_a_cache_of_its_own(tmp_path: Path) -> None:
    fill(tmp_path / "one/pets", 4)
    fill(tmp_path / "two/pets", 6)
    for path, size in (("one/pets", 8), ("one/pets", 16), ("two/pets", 8)):
        Folder(path, size).load(tmp_path, silent)
    assert len(list((tmp_path / ".robench-cache").iterdir())) == 3
    again = Folder("one/pets", 16).load(tmp_path, lambda items, label: pytest.fail("decoded again"))
    assert again.train.images.shape[2:] == (16, 16)


def test_a_new_image_is_noticed(tmp_path: Path) -> None:
    fill(tmp_path / "pets", 4)
    before = Folder("pets").load(tmp_path, silent)
    fill(tmp_path / "pets", 6)
    after = Folder("pets").load(tmp_path, silent)
    assert len(before.train) < len(after.train)


def test_a_class_that_test_or_val_lacks_does_not_shift_the_labels_after_it(tmp_path: Path) -> None:
    for part, names in (("train", "abcd"), ("test", "acd"), ("val", "bd")):
        for name in names:
            (tmp_path / "pets" / part / name).mkdir(parents=True)
            for i in range(2):
                grey = 60 * "abcd".index(name) + 20
                image = Image.new("RGB", (9, 9), (grey, grey, grey + i))
                image.save(tmp_path / "pets" / part / name / f"{i}.png")
    data = Folder("pets", size=9).load(tmp_path, silent)
    assert data.classes == ("a", "b", "c", "d")
    for part, present in (
        (data.train, {0, 1, 2, 3}),
        (data.test, {0, 2, 3}),
        (data.held_out, {1, 3}),
    ):
        assert set(part.labels.tolist()) == present
        assert np.array_equal(part.images[:, 0, 0, 0], 60 * part.labels + 20)


def test_photographs_are_turned_as_their_camera_was_held(tmp_path: Path) -> None:
    """EXIF orientation 6: the picture's top is the file's left side."""
    fill(tmp_path / "pets", 4)
    image = Image.new("RGB", (12, 12), (0, 0, 0))
    image.paste((255, 255, 255), (0, 0, 6, 12))
    exif = Image.Exif()
    exif[0x0112] = 6
    for number in range(2):
        image.putpixel((11, 11), (0, 0, 255 * number))
        image.save(tmp_path / "pets" / "red" / f"turned{number}.png", exif=exif)
    data = Folder("pets", size=12).load(tmp_path, silent)
    images = np.concatenate([part.images for part in _parts(data)])
    turned = images[images[:, 1].mean((1, 2)) > 100]
    assert len(turned) == 2
    assert (turned[:, :, :6] == 255).all()
    assert (turned[:, :2, 6:] == 0).all()


def test_grey_palette_and_transparent_images_are_read(tmp_path: Path) -> None:
    fill(tmp_path / "pets", 4)
    image = Image.open(tmp_path / "pets/red/0.png")
    image.convert("L").save(tmp_path / "pets/red/grey.png")
    palette = image.convert("P")
    palette.save(tmp_path / "pets/red/palette.png", transparency=bytes([0, 128, 255]))
    image.convert("RGBA").save(tmp_path / "pets/red/transparent.png")
    assert sum(map(len, _parts(Folder("pets").load(tmp_path, silent)))) == 11


def _parts(data):  # type: ignore[no-untyped-def]
    return data.train, data.held_out, data.test


def test_hidden_files_do_not_count(tmp_path: Path) -> None:
    fill(tmp_path / "pets", 4)
    (tmp_path / "pets/red/.DS_Store").write_text("x")
    (tmp_path / "pets/.git").mkdir()
    assert Folder("pets").load(tmp_path, silent).classes == ("blue", "red")


@pytest.mark.parametrize("content", [b"", b"text", b"\x89PNG\r\n\x1a\n truncated"])
def test_a_file_that_is_no_image_is_named(tmp_path: Path, content: bytes) -> None:
    fill(tmp_path / "pets", 4)
    (tmp_path / "pets/red/notes.png").write_bytes(content)
    message = refused(tmp_path / "pets")
    assert f"{tmp_path / 'pets/red/notes.png'}: not an image that can be decoded" in message


def test_an_image_of_16_bits_is_refused_rather_than_clipped(tmp_path: Path) -> None:
    fill(tmp_path / "pets", 4)
    Image.fromarray(np.full((20, 20), 40_000, np.uint16)).save(tmp_path / "pets/red/deep.png")
    assert "deep.png: the image has more than 8 bits a channel" in refused(tmp_path / "pets")


def test_an_image_of_too_many_pixels_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("robench.data.decode._MOST_PIXELS", 200)
    fill(tmp_path / "pets", 4)
    assert "0.png: the image is 20×12 pixels, more than 200" in refused(tmp_path / "pets")


def test_other_shapes_of_folders_are_refused(tmp_path: Path) -> None:
    pets = tmp_path / "pets"
    with pytest.raises(DataError, match="'pets' does not exist"):
        Folder("pets").load(tmp_path, silent)
    pets.mkdir()
    assert "has 0 classes, expected at least two" in refused(pets)
    fill(pets / "train", 4)
    assert f"{pets} has no folder test/" in refused(pets)
    (pets / "test/green").mkdir(parents=True)
    assert "green has no images" in refused(pets)
    (pets / "test/green/a.png").write_bytes(b"x")
    (pets / "test/red").mkdir()
    (pets / "test/red/a.png").write_bytes(b"x")
    assert f"{pets / 'test/green'} is a class that train/ does not have" in refused(pets)
    (tmp_path / "lone/red").mkdir(parents=True)
    (tmp_path / "lone/red/a.png").write_bytes(b"x")
    assert "has 1 classes, expected at least two" in refused(tmp_path / "lone")
    (pets / "train/red/nested").mkdir()
    assert "nested is not an image; images belong directly in" in refused(pets)


@pytest.mark.parametrize("size", [0, 7, 513])
def test_a_size_out_of_range_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match=f"size={size} is out of range, expected 8 to 512"):
        Folder("pets", size)
