"""A figure that knows what it shows, and is drawn again only when that changes."""

import hashlib
import inspect
import io
import sys
import warnings
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from robench.report.figures import style
from robench.report.files import replace

if TYPE_CHECKING:  # it takes a second to import, and most reports draw nothing new
    from matplotlib.figure import Figure

DPI = 300
_SIGNATURE = "robench figure"
_METADATA: dict[str, dict[str, str | None]] = {
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
_KEYWORD = {"png": "Comment", "pdf": "Keywords"}


@dataclass(frozen=True)
class Picture:
    """A figure to be: its file's name, everything it shows, and how to draw it."""

    name: str
    data: bytes
    draw: "partial[Figure]"

    def signature(self) -> str:
        """Stands in the files and changes with the data and with the code that draws them."""
        digest = hashlib.sha256(self.data)
        for module in (sys.modules[self.draw.func.__module__], style):
            digest.update(inspect.getsource(module).encode())
        return f"{_SIGNATURE} {digest.hexdigest()}"


def save(pictures: list[Picture], folder: Path) -> list[Path]:
    """Write each picture as PNG and PDF where it is not already there; remove the ones of before.

    Only files that bear the signature of a robench figure are ever removed.
    """
    wanted: list[Path] = []
    for picture in pictures:
        paths = {kind: folder / f"{picture.name}.{kind}" for kind in _METADATA}
        wanted += paths.values()
        if not all(_bears(path, picture.signature()) for path in paths.values()):
            for kind, content in _render(picture).items():
                replace(paths[kind], content)
    for kind in _METADATA:
        for path in sorted(folder.glob(f"*.{kind}")):
            if path not in wanted and _bears(path, _SIGNATURE):
                path.unlink()
    return wanted


def _render(picture: Picture) -> dict[str, bytes]:
    with style.paper(), warnings.catch_warnings():
        # A name in a script that the font lacks is drawn as boxes; that is no reason to stop.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure = picture.draw()
        contents = {}
        for kind, metadata in _METADATA.items():
            file = io.BytesIO()
            signed = metadata | {_KEYWORD[kind]: picture.signature()}
            figure.savefig(file, format=kind, dpi=DPI, metadata=signed)
            contents[kind] = file.getvalue()
    return contents


def _bears(path: Path, signature: str) -> bool:
    return path.is_file() and signature.encode() in path.read_bytes()
