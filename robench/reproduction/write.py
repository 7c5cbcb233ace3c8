"""A reproduction as files."""

from pathlib import Path

from robench.report.files import replace
from robench.reproduction.run import Reproduction
from robench.reproduction.sheet import comma_separated
from robench.reproduction.text import markdown
from robench.store.store import StoreError


def write(made: Reproduction, out: Path) -> list[Path]:
    """Write ``reproduction.md`` and ``reproduction.csv`` into a folder; returns the paths.

    Raises StoreError where they cannot be written.
    """
    texts = {"reproduction.md": markdown(made), "reproduction.csv": comma_separated(made)}
    for name, text in texts.items():
        try:
            replace(out / name, text.encode())
        except OSError as error:
            raise StoreError(f"cannot write {out / name}: {error.strerror or error}") from None
    return [out / name for name in texts]
