"""Download a published file: mirrors in turn, resumed after a break, then checked."""

from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from robench.contracts import DataError, Progress
from robench.data.checks import md5
from robench.files import first_line

_CHUNK = 2**20  # bytes; a step of the progress bar
_ATTEMPTS = 5  # at one mirror, as long as each one brings some bytes
_PATIENCE = 30  # seconds without a byte


def download(
    urls: Sequence[str], target: Path, expected: str, size: int, progress: Progress
) -> None:
    """Get the file of ``size`` bytes and MD5 ``expected`` from the first of ``urls`` that has it.

    What has arrived stays in ``target``.part, and the next attempt, at whichever mirror, resumes
    from there. The file gets its name only when its checksum is right. Raises DataError with each
    mirror's reason where all failed.
    """
    if target.is_file() and md5(target) == expected:
        return
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{target.parent} cannot be made ({error.strerror})") from None
    part = target.with_name(f"{target.name}.part")
    reasons = []
    for url in urls:
        for _ in range(_ATTEMPTS):
            before, reason = _size(part), "sent another file than the published one"
            try:
                _resume(url, part, size, progress)
                if md5(part) == expected:
                    part.replace(target)
                    return
                part.unlink()  # its beginning may be at fault: try once more from the start
            except (OSError, HTTPException) as error:
                reason = first_line(error)
                if isinstance(error, HTTPError):
                    error.close()
            if _size(part) == before:
                break
        reasons.append(f"{urlsplit(url).netloc}: {reason}")
    raise DataError(
        f"{target.name} could not be downloaded ({'; '.join(reasons)}); run the same command again "
        f"to go on where it stopped, or put {target.name} into {target.parent} yourself"
    )


def _resume(url: str, part: Path, size: int, progress: Progress) -> None:
    """Append what ``part`` lacks. Raises OSError or HTTPException where the transfer fails."""
    have = _size(part) if _size(part) <= size else 0
    if have == size:
        return
    asked = {"Range": f"bytes={have}-"} if have else {}
    request = Request(url, headers={"User-Agent": "robench", **asked})
    with urlopen(request, timeout=_PATIENCE) as response:
        if response.status == 200:  # the whole file instead of the range
            have = 0
        offered = have + int(response.headers["Content-Length"] or size - have)
        if offered != size:
            raise OSError(f"offers {offered:,} bytes, expected {size:,}")
        with part.open("ab" if have else "wb") as file:
            for _ in progress(range(have, size, _CHUNK), f"Downloading {part.stem} (MiB)"):
                have += file.write(response.read(min(_CHUNK, size - have)))
    if have < size:
        raise OSError(f"broke off after {have:,} of {size:,} bytes")


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
