"""Files that change only when what they say changes."""

from pathlib import Path

from robench.files import atomic_write


def replace(path: Path, content: bytes) -> bool:
    """Make ``content`` the file's content, in one step; says whether it had to be written."""
    if path.is_file() and path.read_bytes() == content:
        return False
    with atomic_write(path) as file:
        file.write(content)
    return True
