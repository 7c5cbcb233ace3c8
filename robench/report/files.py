"""Files that change only when what they say changes."""

import os
import tempfile
from pathlib import Path


def replace(path: Path, content: bytes) -> bool:
    """Make ``content`` the file's content, in one step; says whether it had to be written."""
    if path.is_file() and path.read_bytes() == content:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        temporary.chmod(0o644)  # mkstemp's 0600 would hide a published report from other people
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return True
