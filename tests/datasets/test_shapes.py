"""The drawn data sets: repeatable, balanced, without repeats, and neither trivial nor hopeless."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from robench.contracts import Data, Dataset, Split
from robench.data import shapes
from robench.data.splits import digest
from robench.datasets.shapes10 import Shapes10
from robench.datasets.shapes100 import Shapes100


def load(dataset: Dataset) -> Data:
    return dataset.load(Path("nowhere"), lambda items, label: items)


@pytest.fixture(scope="module")
def ten() -> Data:
    return load(Shapes10())


@pytest.fixture(scope="module")
def hundred() -> Data:
    return load(Shapes100())


@pytest.fixture
def data(request: pytest.FixtureRequest) -> Data:
    """The data set that a test names: "ten" or "hundred"."""
    made: Data = request.getfixturevalue(request.param)
    return made


def parts(data: Data) -> tuple[Split, Split, Split]:
    return data.train, data.held_out, data.test


def test_every_load_draws_the_same_pictures_and_leaves_the_global_random_state(ten: Data) -> None:
    np.random.seed(7)  # noqa: NPY002
    state = repr(np.random.get_state())  # noqa: NPY002
    again = load(Shapes10())
    assert [digest(part) for part in parts(again)] == [digest(part) for part in parts(ten)]
    assert repr(np.random.get_state()) == state  # noqa: NPY002


def test_another_seed_draws_other_pictures() -> None:
    kinds = [shapes.Kind("striped", "disk"), shapes.Kind("dotted", "star")]
    first, second = (shapes.make(kinds, 16, s, (4, 2, 2)) for s in (0, 1))
    assert not np.array_equal(first.train.images, second.train.images)


@pytest.mark.parametrize(
    ("data", "counts", "classes"),
    [("ten", (4500, 500, 1000), 10), ("hundred", (9000, 1000, 2000), 100)],
    indirect=["data"],
)
def test_shapes_dtypes_balance_and_no_picture_twice(
    data: Data, counts: tuple[int, ...], classes: int
) -> None:
    assert len(data.classes) == len(set(data.classes)) == classes
    for part, count in zip(parts(data), counts, strict=True):
        assert part.images.shape == (count, 3, 16, 16)
        assert part.images.dtype == np.uint8
        assert part.labels.dtype == np.int64
        assert np.bincount(part.labels, minlength=classes).tolist() == [count // classes] * classes
        assert len(set(part.labels[: 20 * classes].tolist())) == classes  # shuffled
    images = np.concatenate([part.images for part in parts(data)])
    assert len({image.tobytes() for image in images}) == len(images)


def test_the_two_sets_share_no_class(ten: Data, hundred: Data) -> None:
    assert not set(ten.classes) & set(hundred.classes)
    assert ten.classes[0] == "striped disk"


def test_a_larger_size_shows_the_same_scenes() -> None:
    small, large = (
        shapes.draw([shapes.Kind("ribbed", "square")] * 20, size, np.random.default_rng(3))
        for size in (16, 32)
    )
    assert large.shape == (20, 3, 32, 32)
    halved = large.reshape(20, 3, 16, 2, 16, 2).mean((3, 5))
    assert np.corrcoef(small.ravel(), halved.ravel())[0, 1] > 0.9


@pytest.mark.parametrize("dataset", [Shapes10, Shapes100])
@pytest.mark.parametrize("size", [7, 65])
def test_it_has_a_size_within_a_range(dataset: type[Shapes10 | Shapes100], size: int) -> None:
    assert load(dataset(size=8)).test.images.shape[1:] == (3, 8, 8)
    with pytest.raises(ValueError, match=f"size={size}.* 8 to 64 pixels"):
        dataset(size=size)


@pytest.mark.parametrize(
    ("data", "low", "high"), [("ten", 0.2, 0.6), ("hundred", 0.02, 0.12)], indirect=["data"]
)
def test_pictures_are_bright_and_dark_and_nearest_pixels_classify_them_poorly(
    data: Data, low: float, high: float
) -> None:
    images = data.train.images
    assert (images.std(axis=(1, 2, 3)) > 5).mean() > 0.95
    assert 80 < images.mean() < 175
    assert images.std() > 40
    assert np.isin(images, (0, 255)).mean() < 0.15
    assert low < nearest_accuracy(data.train, data.test) < high


def nearest_accuracy(train: Split, test: Split) -> float:
    """How often the nearest of the training pictures has the class of the test picture."""
    known, asked = flat(train.images), flat(test.images[:500])
    distances = (known**2).sum(1) - 2 * asked @ known.T
    found = train.labels[distances.argmin(1)]
    return float((found == test.labels[:500]).mean())


def flat(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    return images.reshape(len(images), -1).astype(np.float32) / 255


@pytest.mark.parametrize("outline", shapes.OUTLINES)
def test_every_outline_covers_part_of_its_picture(outline: str) -> None:
    x, y = shapes.pixels(32)
    share = shapes.silhouette([outline], x, y)
    assert share.min() == 0
    assert share.max() == 1
    assert 0.1 < share.mean() < 0.7
    assert outline in shapes.GROUNDS


@pytest.mark.parametrize("material", shapes.MATERIALS.values(), ids=list(shapes.MATERIALS))
def test_a_pattern_runs_as_often_as_its_material_says(material: shapes.Material) -> None:
    fields = shapes.waves([material] * 200, 1.0, *shapes.pixels(32), np.random.default_rng(0))
    power = (abs(np.fft.fft2(fields)) ** 2).mean(0)
    cycles = abs(np.fft.fftfreq(32, 1 / 32))
    radius = np.hypot(cycles[:, None], cycles[None, :])
    centre = (power * radius)[radius < 10].sum() / power[radius < 10].sum()
    assert material.cycles * 0.7 < centre < material.cycles * 1.4
