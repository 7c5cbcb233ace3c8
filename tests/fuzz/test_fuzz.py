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
from robench.data import parquet
from robench.data.decode import decode
from robench.datasets.npz import KEYS, Npz
from robench.engine.progress import silent
from robench.grid.spec import SpecError, parse, parse_list

# Where, how many bytes are cut there, and what is put in. Negative places count from the end, where
# a zip has its directory.
EDIT = st.tuples(
    st.one_of(st.integers(0, 200), st.integers(-200, -1), st.integers(0, 2**16)),
    st.integers(0, 8) | st.just(2**20),
    st.binary(max_size=8) | st.sampled_from([b"\xff" * 4, b"\x00" * 8, b"\x7f\xff\xff\xff"]),
)


def damaged(sample: bytes, spare: int = 0) -> st.SearchStrategy[bytes]:
    """The sample after a few edits, none of them in its last ``spare`` bytes."""
    rest = sample[len(sample) - spare :]

    def apply(edits: list[tuple[int, int, bytes]]) -> bytes:
        body = sample[: len(sample) - spare]
        for at, cut, new in edits:
            at %= len(body) + 1
            body = body[:at] + new + body[at + cut :]
        return body + rest

    return st.builds(apply, st.lists(EDIT, max_size=4))


def damaged_zip(sample: bytes) -> st.SearchStrategy[bytes]:
    """A zip damaged anywhere, or a whole zip with right checksums of which one file is damaged."""
    with zipfile.ZipFile(io.BytesIO(sample)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}

    def zipped(name: str, content: bytes) -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for member, whole in members.items():
                archive.writestr(member, content if member == name else whole)
        return buffer.getvalue()

    inside = (st.builds(zipped, st.just(name), damaged(one)) for name, one in members.items())
    return damaged(sample) | st.one_of(inside)


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
    shapes = {"images": (4, 4, 4, 3), "labels": (4,)}
    arrays = {key: np.zeros(shapes[key.partition("_")[2]], np.uint8) for key in KEYS}
    return damaged_zip(saved(lambda file: np.savez(file, **arrays)))


def parquet_files() -> st.SearchStrategy[bytes]:
    rows = pa.array([{"bytes": drawn("PNG")}] * 3, pa.struct([("bytes", pa.binary())]))
    table = pa.table({"img": rows, "label": pa.array([0, 1, 2], pa.int64())})
    file = saved(lambda file: pq.write_table(table, file))
    # Some damages of the footer end the process inside pyarrow's own code.
    return damaged(file, spare=int.from_bytes(file[-8:-4], "little") + 8)


def images() -> st.SearchStrategy[bytes]:
    return st.one_of(damaged(drawn(form)) for form in ("PNG", "WEBP", "JPEG", "GIF", "TIFF"))


def checkpoints() -> st.SearchStrategy[bytes]:
    state = {"module.conv1.weight": torch.zeros(4, 3, 3, 3), "fc.weight": torch.ones(10, 4)}
    entries = {"epoch": 3, "state_dict": state, "optimizer": {"state": {}, "lr": 0.1}}
    zipped = saved(lambda file: torch.save(entries, file))
    return damaged_zip(zipped) | damaged(safetensors.torch.save(state))


@pytest.mark.parametrize(
    ("inputs", "call", "refusal"),
    [
        (specs, read_spec, SpecError),
        (npz_files, lambda path: Npz(str(path)).load(path.parent, silent), DataError),
        (parquet_files, lambda path: parquet.read(path, "label", 10, silent, "x"), DataError),
        (images, lambda path: decode(path.read_bytes(), "here").resize((8, 8)), DataError),
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
