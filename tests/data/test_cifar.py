"""CIFAR gives the same images from every layout, and says what is wrong with a broken one."""

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
from cifar_files import TEST, TRAIN, archived, batches, publish, same, write_batches, write_split

from robench.contracts import Data, DataError, Split
from robench.data.cifar import CIFAR10, CIFAR100, CIFARS, Cifar, FromFiles, fetch, locate
from robench.data.splits import in_three
from robench.engine.progress import silent

Lay = Callable[..., None]


def load(which: Cifar, root: Path) -> Data:
    class Chosen(FromFiles):
        cifar = which

    return Chosen().load(root, silent)


COLUMN = {CIFAR10: "label", CIFAR100: "fine_label"}  # in the published Parquet files


@pytest.fixture
def patch(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    publish(monkeypatch, CIFAR10, batches())
    return monkeypatch


def folder(root: Path, cifar: Cifar, train: Split = TRAIN, test: Split = TEST) -> None:
    write_batches(root, cifar, batches(train, test))


def parquet(
    root: Path, cifar: Cifar, train: Split = TRAIN, test: Split = TEST, form: str = "PNG"
) -> None:
    for part, split in (("train", train), ("test", test)):
        path = root / cifar.name / f"{part}-00000-of-00001.parquet"
        write_split(path, split, form, COLUMN[cifar])


def webp(root: Path, cifar: Cifar, train: Split = TRAIN, test: Split = TEST) -> None:
    parquet(root, cifar, train, test, "WEBP")


LAYOUTS = pytest.mark.parametrize("lay", [folder, parquet, webp])


@LAYOUTS
@pytest.mark.usefixtures("patch")
def test_every_layout_gives_the_same_data(tmp_path: Path, lay: Lay) -> None:
    lay(tmp_path, CIFAR10)
    expected = in_three(TRAIN, TEST, CIFAR10.classes)
    assert same(load(CIFAR10, tmp_path), expected)


@LAYOUTS
def test_cifar100_has_its_100_fine_labels_and_not_the_20_coarse_ones(
    tmp_path: Path, lay: Lay, monkeypatch: pytest.MonkeyPatch
) -> None:
    fine = [Split(split.images, split.labels + 90) for split in (TRAIN, TEST)]
    publish(monkeypatch, CIFAR100, batches(*fine))
    lay(tmp_path, CIFAR100, *fine)
    data = load(CIFAR100, tmp_path)
    assert same(data, in_three(*fine, CIFAR100.classes))
    assert sorted(data.test.labels.tolist()) == [90, 90, 91, 91, 92, 92, 93, 93]
    assert len(data.classes) == 100
    assert data.classes[90] == "train"


def test_classes_are_numbered_by_the_alphabet_as_in_the_published_sets() -> None:
    for cifar, count in ((CIFAR10, 10), (CIFAR100, 100)):
        assert list(cifar.classes) == sorted(set(cifar.classes))
        assert len(cifar.classes) == count
    assert CIFAR10.classes[0] == "airplane"


@pytest.mark.parametrize(
    "inside", ["cifar10", "cifar10/plain_text", "cifar10/data", "plain_text", "data", "."]
)
def test_parquet_is_found_in_the_folders_where_copies_have_it(tmp_path: Path, inside: str) -> None:
    for part, split in (("train", TRAIN), ("test", TEST)):
        write_split(tmp_path / inside / f"{part}-00000-of-00001.parquet", split)
    found = [str(path.relative_to(tmp_path)) for path in locate(CIFAR10, tmp_path)]
    stem = "" if inside == "." else f"{inside}/"
    assert found == [f"{stem}{part}-00000-of-00001.parquet" for part in ("train", "test")]


def test_parquet_in_several_shards_is_one_set(tmp_path: Path) -> None:
    for i, half in enumerate((slice(12), slice(12, None))):
        part = Split(TRAIN.images[half], TRAIN.labels[half])
        write_split(tmp_path / f"cifar10/train-0000{i}-of-00002.parquet", part)
    write_split(tmp_path / "cifar10/test-00000-of-00001.parquet", TEST)
    data = load(CIFAR10, tmp_path)
    assert same(data, in_three(TRAIN, TEST, CIFAR10.classes))


@pytest.mark.parametrize(
    ("gone", "added", "message"),
    [
        (None, "train-00001-of-00003", r"has 2 of the train-\*.parquet files, but .* 1 and 3"),
        ("test-00000-of-00001", None, r"cifar10 has no test-\*.parquet; add it"),
        ("train-00000-of-00001", None, r"cifar10 has no train-\*.parquet; add it"),
    ],
)
def test_a_missing_shard_is_seen_by_the_names(
    tmp_path: Path, gone: str | None, added: str | None, message: str
) -> None:
    parquet(tmp_path, CIFAR10)
    if gone:
        (tmp_path / f"cifar10/{gone}.parquet").unlink()
    if added:
        write_split(tmp_path / f"cifar10/{added}.parquet", TRAIN)
    with pytest.raises(DataError, match=message):
        load(CIFAR10, tmp_path)


@pytest.mark.usefixtures("patch")
def test_batches_go_before_parquet(tmp_path: Path) -> None:
    parquet(tmp_path, CIFAR10)
    folder(tmp_path, CIFAR10)
    assert [path.name for path in locate(CIFAR10, tmp_path)] == list(batches())


@pytest.mark.parametrize("cifar", CIFARS.values())
@pytest.mark.parametrize("some", [True, False])
def test_nothing_there_names_what_where_and_the_way_out(
    tmp_path: Path, cifar: Cifar, some: bool
) -> None:
    looked = "looked for cifar-"
    if some:
        write_batches(tmp_path, cifar, batches())
        looked = f"{tmp_path / cifar.published.base_folder} has no "
    with pytest.raises(DataError) as caught:
        load(cifar, tmp_path)
    for part in (
        f"{cifar.name} is not in {tmp_path} ({looked}",
        f"`robench data fetch {cifar.name} --data {tmp_path}`",
        f"ROBENCH_DATA to the folder that has them, or use shapes{len(cifar.classes)}, which",
    ):
        assert part in str(caught.value)


@pytest.mark.usefixtures("patch")
def test_damage_is_named_with_both_checksums_before_anything_is_opened(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder(tmp_path, CIFAR10)
    (path,) = tmp_path.rglob("test_batch")
    path.write_bytes(path.read_bytes()[:-7])
    monkeypatch.setattr("pickle.load", lambda *args, **options: pytest.fail("it was opened"))
    message = rf"{path} has MD5 \w{{32}}, expected \w{{32}}: .*`robench data fetch`"
    with pytest.raises(DataError, match=message):
        load(CIFAR10, tmp_path)


def python2_batch(split: Split) -> bytes:
    """A batch as Python 2 and an old numpy pickled it: byte strings, an old module's name."""
    pixels = split.images.tobytes()
    return b"".join(
        [
            b"\x80\x02}(",
            b"U\x04datacnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R",
            b"(K\x01K" + bytes([len(split)]) + b"M\x00\x0c\x86",
            b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89",
            b"T" + len(pixels).to_bytes(4, "little") + pixels + b"tb",
            b"U\x06labels](" + b"".join(b"K" + bytes([label]) for label in split.labels) + b"e",
            b"u.",
        ]
    )


def test_batches_pickled_by_python_2_are_read_without_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {
        "data_batch_1": python2_batch(TRAIN),
        "test_batch": python2_batch(TEST),
        "meta": pickle.dumps({"label_names": []}, 2),
    }
    publish(monkeypatch, CIFAR10, files)
    write_batches(tmp_path, CIFAR10, files)
    data = load(CIFAR10, tmp_path)
    assert same(data, in_three(TRAIN, TEST, CIFAR10.classes))


def test_another_name_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'imagenet' .* choose one of cifar10, cifar100"):
        fetch("imagenet", tmp_path, silent)


def test_fetch_unpacks_an_archive_that_is_whole(tmp_path: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setattr("robench.data.download.urlopen", lambda *_, **__: pytest.fail("asked for"))
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(archived(CIFAR10, batches()))
    assert fetch("cifar10", tmp_path, silent) == tmp_path / "cifar-10-batches-py"
    (tmp_path / "cifar-10-python.tar.gz").unlink()  # what is unpacked and whole is left as it is
    assert fetch("cifar10", tmp_path, silent) == tmp_path / "cifar-10-batches-py"
    assert same(load(CIFAR10, tmp_path), in_three(TRAIN, TEST, CIFAR10.classes))
