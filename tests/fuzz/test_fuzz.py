"""Damaged and made-up input to each parser: it ends in an answer, or in the parser's own error."""

import io
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from PIL import Image

from robench.checkpoints.reading import read
from robench.contracts import DataError
from robench.data import npz, parquet
from robench.data.decode import decode, fitted
from robench.grid.spec import SpecError, parse, parse_list

Bytes = st.SearchStrategy[bytes]

# Where, how many bytes are cut there, and what is put in. Negative places count from the end, where
# a zip has its directory.
EDIT = st.tuples(
    st.one_of(st.integers(0, 200), st.integers(-200, -1), st.integers(0, 2**16)),
    st.integers(0, 8) | st.just(2**20),
    st.binary(max_size=8) | st.sampled_from([b"\xff" * 4, b"\x00" * 8, b"\x7f\xff\xff\xff"]),
)


def damaged(*samples: bytes, spare: int = 0) -> Bytes:
    """One of the samples after a few edits, none of them in its last ``spare`` bytes."""

    def apply(sample: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
        body, rest = sample[: len(sample) - spare], sample[len(sample) - spare :]
        for at, cut, new in edits:
            at %= len(body) + 1
            body = body[:at] + new + body[at + cut :]
        return body + rest

    return st.builds(apply, st.sampled_from(samples), st.lists(EDIT, max_size=4))


def damaged_zip(sample: bytes) -> Bytes:
    """A whole zip with right checksums, of which one file is damaged or left out."""
    with zipfile.ZipFile(io.BytesIO(sample)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}

    def zipped(name: str, content: bytes | None) -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for other in members:
                made = members[other] if other != name else content
                if made is not None:
                    archive.writestr(other, made)
        return buffer.getvalue()

    one = st.sampled_from(sorted(members)).flatmap(
        lambda name: st.tuples(st.just(name), st.none() | damaged(members[name]))
    )
    return one.map(lambda edit: zipped(*edit))


def saved(save: Callable[[io.BytesIO], object]) -> bytes:
    buffer = io.BytesIO()
    save(buffer)
    return buffer.getvalue()


def drawn(form: str) -> bytes:
    pixels = np.arange(3072, dtype=np.uint8).reshape(32, 32, 3)
    return saved(lambda file: Image.fromarray(pixels).save(file, form))


# --- Each target: inputs, the call, and its own error.


def specs() -> st.SearchStrategy[str]:
    pieces = ["pgd", "(", ")", "=", ",", "'", '"', "\\", "8/255", "eps", "1e9", "none", " ", "\n"]
    one = st.sampled_from(pieces) | st.text(max_size=3)
    text = st.lists(one, max_size=14).map("".join)
    deep = st.builds(
        lambda piece, count: f"pgd(eps={piece * count})",
        st.sampled_from(["-", "(", "[", "not ", "+1", "1/", "9", "if 1else'a'"]),
        st.integers(1, 4500),
    )
    return text | deep | text.map(lambda inside: f"pgd(eps={inside})")


def read_spec(text: str, folder: Path) -> None:
    for spec in (*parse_list(text), parse(text)):
        assert parse(str(spec)) == spec


def npz_files() -> Bytes:
    arrays = {}
    for part, count in (("train", 6), ("val", 2), ("test", 2)):
        arrays[f"{part}_images"] = np.arange(count * 48, dtype=np.uint8).reshape(count, 4, 4, 3)
        arrays[f"{part}_labels"] = (np.arange(count) % 2).astype(np.uint8)[:, None]
    sample = saved(lambda file: np.savez(file, **arrays))
    return damaged(sample) | damaged_zip(sample)


def read_npz(content: bytes, folder: Path) -> None:
    (folder / "a.npz").write_bytes(content)
    assert npz.read(folder / "a.npz").train.images.dtype == np.uint8


def parquet_files() -> Bytes:
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    rows = pa.array([{"bytes": drawn("PNG"), "path": "a"}] * 3, kind)
    table = pa.table({"img": rows, "label": pa.array([0, 1, 2], pa.int64())})
    samples = [
        saved(lambda file, c=compression: pq.write_table(table, file, compression=c))
        for compression in ("none", "snappy", "zstd")
    ]
    # Some damages of the footer end the process inside pyarrow's own code.
    footers = [int.from_bytes(sample[-8:-4], "little") + 8 for sample in samples]
    return st.one_of(
        damaged(sample, spare=footer) for sample, footer in zip(samples, footers, strict=True)
    )


def read_parquet(content: bytes, folder: Path) -> None:
    (folder / "a.parquet").write_bytes(content)
    split = parquet.read(folder / "a.parquet", "label", 10, lambda items, label: items, "Decoding")
    assert len(split) == 3


def images() -> Bytes:
    return damaged(*map(drawn, ("PNG", "WEBP", "JPEG", "BMP", "GIF", "TIFF", "PPM"))) | st.binary()


def read_image(content: bytes, folder: Path) -> None:
    assert fitted(decode(content, "here"), 8).size == (8, 8)


def checkpoints() -> Bytes:
    state = {"module.conv1.weight": torch.zeros(4, 3, 3, 3), "fc.weight": torch.ones(10, 4)}
    entries = {"epoch": 3, "state_dict": state, "optimizer": {"state": {}, "lr": 0.1}}
    zipped = saved(lambda file: torch.save(entries, file))
    legacy = saved(lambda f: torch.save(entries, f, _use_new_zipfile_serialization=False))
    return damaged(zipped, legacy, safetensors.torch.save(state)) | damaged_zip(zipped)


def read_checkpoint(content: bytes, folder: Path) -> None:
    (folder / "a.pt").write_bytes(content)
    assert read(folder / "a.pt").state


@pytest.mark.parametrize(
    ("inputs", "call", "refusal"),
    [
        (specs, read_spec, SpecError),
        (npz_files, read_npz, DataError),
        (parquet_files, read_parquet, DataError),
        (images, read_image, DataError),
        (checkpoints, read_checkpoint, SpecError),
    ],
    ids=["specs", "npz", "parquet", "images", "checkpoints"],
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_parser_ends_in_an_answer_or_in_its_own_error(
    inputs: Callable[[], st.SearchStrategy[str | bytes]],
    call: Callable[[str | bytes, Path], None],
    refusal: type[Exception],
) -> None:
    taken, messages = [], []

    @settings(
        max_examples=200,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(cache(inputs)())
    def one(tried: str | bytes) -> None:
        with TemporaryDirectory() as folder:
            try:
                call(tried, Path(folder))
                taken.append(tried)
            except refusal as error:
                messages.append(str(error))

    one()
    assert taken
    assert messages
    assert all(0 < len(message) < 3 * 4096 for message in messages)
