"""Files that change only when what they say changes."""

from pathlib import Path

from robench.replacing import replacing


def replace(path: Path, content: bytes) -> bool:
    """Make ``content`` the file's content, in one step; says whether it had to be written."""
    if path.is_file() and path.read_bytes() == content:
        return False
    with replacing(path) as file:
        file.write(content)
    return True
