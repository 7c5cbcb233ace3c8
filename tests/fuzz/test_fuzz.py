"""Damaged and made-up input to each parser: it ends in an answer, or in the parser's own error."""

import io
import zipfile
from collections.abc import Callable
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
from robench.engine.progress import silent
from robench.grid.spec import SpecError, parse, parse_list

# Where, how many bytes are cut there, and what is put in. Negative places count from the end, where
# a zip has its directory.
EDIT = st.tuples(
    st.one_of(st.integers(0, 200), st.integers(-200, -1), st.integers(0, 2**16)),
    st.integers(0, 8) | st.just(2**20),
    st.binary(max_size=8) | st.sampled_from([b"\xff" * 4, b"\x00" * 8, b"\x7f\xff\xff\xff"]),
)


def damaged(*samples: bytes, spare: int = 0) -> st.SearchStrategy[bytes]:
    """One of the samples after a few edits, none of them in its last ``spare`` bytes."""

    def apply(sample: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
        body, rest = sample[: len(sample) - spare], sample[len(sample) - spare :]
        for at, cut, new in edits:
            at %= len(body) + 1
            body = body[:at] + new + body[at + cut :]
        return body + rest

    return st.builds(apply, st.sampled_from(samples), st.lists(EDIT, max_size=4))


def damaged_zip(sample: bytes) -> st.SearchStrategy[bytes]:
    """A whole zip with right checksums, of which one file is damaged."""
    with zipfile.ZipFile(io.BytesIO(sample)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}

    def zipped(name: str, content: bytes) -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for member, whole in members.items():
                archive.writestr(member, content if member == name else whole)
        return buffer.getvalue()

    return st.one_of(
        st.builds(zipped, st.just(name), damaged(content)) for name, content in members.items()
    )


def saved(save: Callable[[io.BytesIO], object]) -> bytes:
    buffer = io.BytesIO()
    save(buffer)
    return buffer.getvalue()


def drawn(form: str) -> bytes:
    pixels = np.arange(3072, dtype=np.uint8).reshape(32, 32, 3)
    return saved(lambda file: Image.fromarray(pixels).save(file, form))


def specs() -> st.SearchStrategy[bytes]:
    pieces = ["pgd", "(", ")", "=", ",", "'", '"', "\\", "8/255", "eps", "1e9", "none", " ", "\n"]
    text = st.lists(st.sampled_from(pieces) | st.text(max_size=3), max_size=14).map("".join)
    again = st.sampled_from(["-", "(", "[", "not ", "+1", "1/", "9", "if 1else'a'"])
    deep = st.builds(lambda piece, count: piece * count, again, st.integers(1, 4500))
    inside = (text | deep).map(lambda argument: f"pgd(eps={argument})")
    return (text | inside).map(lambda typed: typed.encode("utf-8", "surrogatepass"))


def read_spec(path: Path) -> None:
    text = path.read_bytes().decode("utf-8", "surrogatepass")
    for spec in (*parse_list(text), parse(text)):
        assert parse(str(spec)) == spec


def npz_files() -> st.SearchStrategy[bytes]:
    labels = {name: np.arange(4) % 2 for name in npz.KEYS}
    images = np.zeros((4, 4, 4, 3), np.uint8)
    arrays = {k: images if k.endswith("images") else v for k, v in labels.items()}
    sample = saved(lambda file: np.savez(file, **arrays))
    return damaged(sample) | damaged_zip(sample)


def parquet_files() -> st.SearchStrategy[bytes]:
    rows = pa.array([{"bytes": drawn("PNG")}] * 3, pa.struct([("bytes", pa.binary())]))
    table = pa.table({"img": rows, "label": pa.array([0, 1, 2], pa.int64())})
    files = [
        saved(lambda file, kind=kind: pq.write_table(table, file, compression=kind))
        for kind in ("none", "snappy", "zstd")
    ]
    # Some damages of the footer end the process inside pyarrow's own code.
    return st.one_of(damaged(f, spare=int.from_bytes(f[-8:-4], "little") + 8) for f in files)


def images() -> st.SearchStrategy[bytes]:
    return damaged(*map(drawn, ("PNG", "WEBP", "JPEG", "BMP", "GIF", "TIFF", "PPM")))


def checkpoints() -> st.SearchStrategy[bytes]:
    state = {"module.conv1.weight": torch.zeros(4, 3, 3, 3), "fc.weight": torch.ones(10, 4)}
    entries = {"epoch": 3, "state_dict": state, "optimizer": {"state": {}, "lr": 0.1}}
    zipped = saved(lambda file: torch.save(entries, file))
    legacy = saved(lambda f: torch.save(entries, f, _use_new_zipfile_serialization=False))
    return damaged(zipped, legacy, safetensors.torch.save(state)) | damaged_zip(zipped)


@pytest.mark.parametrize(
    ("inputs", "call", "refusal"),
    [
        (specs, read_spec, SpecError),
        (npz_files, npz.read, DataError),
        (parquet_files, lambda path: parquet.read(path, "label", 10, silent, "x"), DataError),
        (images, lambda path: fitted(decode(path.read_bytes(), "here"), 8), DataError),
        (checkpoints, read, SpecError),
    ],
    ids=["specs", "npz", "parquet", "images", "checkpoints"],
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_parser_ends_in_an_answer_or_in_its_own_error(
    inputs: Callable[[], st.SearchStrategy[bytes]],
    call: Callable[[Path], object],
    refusal: type[Exception],
) -> None:
    taken, messages = [], []
    options = {"max_examples": 200, "derandomize": True, "database": None, "deadline": None}

    @settings(**options, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(inputs())
    def one(tried: bytes) -> None:
        with TemporaryDirectory() as folder:
            path = Path(folder, "a.pt")
            path.write_bytes(tried)
            try:
                taken.append(call(path))
            except refusal as error:
                messages.append(str(error))

    one()
    assert len(taken) > 5
    assert len(messages) > 5
    assert all(0 < len(message) < 3 * 4096 for message in messages)
