"""What damages and lies look like: edits of bytes, of JSON, and of what lies inside a zip."""

import io
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hypothesis import strategies as st

_NUMBERS = (0, 1, 0x7F, 0xFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)
_TEXTS = (
    "",
    "a\nb",
    "\x1b[2J",
    "\u202eevil",
    "=cmd|' /C calc'!A0",
    "../../etc/passwd",
    "<script>alert(1)</script>",
    r"\input{x}",
    "$x",
    "a|b",
    "8/255",
    "1/0",
    "1e99",
    "none",
    "resnet8(width=99999999)",
    "resnet8(nothing=1)",
    "pgd(eps=8/255, norm=linf)",
    "pgd(eps=, norm=",
    "x" * 5000,
)


def bytes_edit() -> st.SearchStrategy[Callable[[bytes], bytes]]:
    """One edit: a byte or a number set, a part cut out, doubled or put in, the end cut off."""
    place = st.integers(0, 2**16)
    sizes = st.sampled_from((1, 2, 4, 8))
    orders = st.sampled_from(("little", "big"))

    def overwrite(at: int, new: bytes) -> Callable[[bytes], bytes]:
        return lambda old: (b := at % (len(old) + 1), old[:b] + new + old[b + len(new) :])[1]

    def insert(at: int, new: bytes) -> Callable[[bytes], bytes]:
        return lambda old: (b := at % (len(old) + 1), old[:b] + new + old[b:])[1]

    def cut(at: int, count: int) -> Callable[[bytes], bytes]:
        return lambda old: (b := at % (len(old) + 1), old[:b] + old[b + count :])[1]

    def double(at: int, count: int) -> Callable[[bytes], bytes]:
        return lambda old: (b := at % (len(old) + 1), old[: b + count] + old[b:])[1]

    def number(at: int, value: int, size: int, order: Any) -> Callable[[bytes], bytes]:
        return overwrite(at, (value % 256**size).to_bytes(size, order))

    # The end has the directory of a zip and of a Parquet file; the front every other header.
    anywhere = st.one_of(place, st.integers(0, 200), st.integers(-200, -1))
    return st.one_of(
        st.builds(overwrite, anywhere, st.binary(min_size=1, max_size=4)),
        st.builds(number, anywhere, st.sampled_from(_NUMBERS), sizes, orders),
        st.builds(insert, anywhere, st.binary(min_size=1, max_size=12)),
        st.builds(cut, anywhere, st.integers(1, 64)),
        st.builds(double, anywhere, st.integers(1, 64)),
        st.builds(lambda at: lambda old: old[: at % (len(old) + 1)], anywhere),
    )


def edited(samples: Sequence[bytes], least: int = 0) -> st.SearchStrategy[bytes]:
    """One of the samples after a few edits."""

    def apply(sample: bytes, edits: list[Callable[[bytes], bytes]]) -> bytes:
        for edit in edits:
            sample = edit(sample)
        return sample

    edits = st.lists(bytes_edit(), min_size=least, max_size=5)
    return st.builds(apply, st.sampled_from(samples), edits)


def any_text() -> st.SearchStrategy[str]:
    """Names that mean harm, and any other text."""
    return st.one_of(st.sampled_from(_TEXTS), st.text(max_size=30))


def any_json() -> st.SearchStrategy[Any]:
    """Any JSON value, small."""
    leaves = st.one_of(
        st.none(),
        st.booleans(),
        st.sampled_from(_NUMBERS),
        st.integers(-2, 70),
        st.floats(),
        any_text(),
    )
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3), st.dictionaries(any_text(), inner, max_size=3)
        ),
        max_leaves=5,
    )


def edited_json(sample: Mapping[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """The sample with up to three of its values, however deep, replaced or left out."""
    paths = list(_paths(sample))
    edit = st.tuples(st.sampled_from(paths), st.one_of(any_text(), any_json()), st.booleans())

    def apply(edits: list[tuple[tuple[Any, ...], Any, bool]]) -> dict[str, Any]:
        made: dict[str, Any] = json.loads(json.dumps(sample))
        for (*way, last), value, keep in edits:
            place: Any = made
            for step in way:
                place = place[step] if isinstance(place, dict) and step in place else None
            if isinstance(place, dict):
                if keep:
                    place[last] = value
                else:
                    place.pop(last, None)
        return made

    return st.builds(apply, st.lists(edit, max_size=3))


def _paths(tree: Any, before: tuple[Any, ...] = ()) -> Any:
    if isinstance(tree, Mapping):
        for name, inner in tree.items():
            yield (*before, name)
            yield from _paths(inner, (*before, name))


def zipped(members: Mapping[str, bytes], folded: bool) -> bytes:
    """A zip of these files, whole, whatever is in them."""
    buffer = io.BytesIO()
    kind = zipfile.ZIP_DEFLATED if folded else zipfile.ZIP_STORED
    with zipfile.ZipFile(buffer, "w", kind) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def edited_zip(sample: bytes) -> st.SearchStrategy[bytes]:
    """A whole zip of which one file was edited, left out, or another put in its place."""
    with zipfile.ZipFile(io.BytesIO(sample)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    names = st.sampled_from(sorted(members))

    def apply(edits: list[tuple[str, bytes]], lost: str | None, folded: bool) -> bytes:
        made = {**members, **dict(edits)}
        made.pop(lost or "", None)
        return zipped(made, folded)

    one = names.flatmap(lambda name: st.tuples(st.just(name), edited([members[name]], 1)))
    return st.builds(apply, st.lists(one, max_size=2), st.none() | names, st.booleans())
