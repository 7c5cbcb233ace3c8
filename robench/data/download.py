"""Fetching a published archive: mirrors in turn, resumed after a break, then checked."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from robench.contracts import DataError, Progress
from robench.data.checks import md5
from robench.data.cifar import named

_CHUNK = 2**20  # bytes; a step of the progress bar
_ATTEMPTS = 5  # at one mirror, as long as each one brings some bytes
_PATIENCE = 30  # seconds without a byte

Open = Callable[[Request], Any]
"""Opens a request, as `urllib.request.urlopen` does."""


def fetch(name: str, root: Path, progress: Progress, mirrors: Sequence[str] | None = None) -> Path:
    """Download the archive of ``cifar10`` or ``cifar100`` into the folder ``root``.

    Nothing is downloaded where it is there already, with the published MD5. ``mirrors`` are other
    addresses to try, in order. Raises DataError for an address that is not https, a folder that
    cannot be written, or where no mirror had the file.
    """
    cifar = named(name)
    urls = cifar.mirrors if mirrors is None else mirrors
    for url in urls:
        if urlsplit(url).scheme != "https":
            raise DataError(f"'{url}' is no https address; data sets come over https only")
    target = root / cifar.archive[0]
    try:
        download(urls, target, cifar.archive[1], cifar.archive_bytes, progress)
    except NoMirrorError as error:
        raise DataError(
            f"{name} could not be downloaded ({error}); run the same command again to go on where "
            f"it stopped, or get {target.name} yourself and run `robench data import {name} FILE`"
        ) from None
    return target


class NoMirrorError(Exception):
    """No mirror had the file; the message says why for each."""


def open_https(request: Request) -> Any:
    """Open an https address, and follow redirects to https addresses only."""
    if request.type != "https":
        raise URLError("not an https address")
    return build_opener(HttpsRedirects).open(request, timeout=_PATIENCE)


class HttpsRedirects(HTTPRedirectHandler):
    """Refuses to be sent from https to anything else."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        if urlsplit(newurl).scheme != "https":
            fp.close()
            raise URLError(f"redirects to {newurl[:200]}, which is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def download(
    urls: Sequence[str],
    target: Path,
    expected: str,
    size: int,
    progress: Progress,
    open_url: Open = open_https,
) -> None:
    """Get the file of ``size`` bytes and MD5 ``expected`` from the first of ``urls`` that has it.

    What has arrived stays in ``target``.part, and the next attempt, at whichever mirror, goes on
    from there. The file gets its name only when its checksum is right. Raises NoMirrorError where
    every mirror failed, DataError where the disk did.
    """
    if target.is_file() and md5(target) == expected:
        return
    part = target.with_name(f"{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(target.parent, error) from None
    reasons = []
    for url in urls:
        reason = _try_mirror(url, part, expected, size, progress, open_url)
        if reason is None:
            part.replace(target)
            return
        reasons.append(f"{urlsplit(url).netloc or url}: {reason}")
    raise NoMirrorError("; ".join(reasons) or "there are no mirrors")


def _try_mirror(
    url: str, part: Path, expected: str, size: int, progress: Progress, open_url: Open
) -> str | None:
    """Why the mirror did not lead to a right file, or None where it did."""
    reason = ""
    for _ in range(_ATTEMPTS):
        before = _size(part)
        try:
            _transfer(url, part, size, progress, open_url)
        except (OSError, HTTPException) as error:
            reason = _why(error)
            if isinstance(error, HTTPError) and error.code == 416:
                part.unlink(missing_ok=True)  # what has arrived is not a part of this file
            elif _size(part) <= before:
                return reason
            continue
        found = md5(part)
        if found == expected:
            return None
        part.unlink()
        reason = f"sent a file with MD5 {found}, expected {expected}"
        if before == 0:
            return reason
        # Otherwise the fault may lie in what came before, from elsewhere: once more from the start.
    return reason


def _transfer(url: str, part: Path, size: int, progress: Progress, open_url: Open) -> None:
    """Append what ``part`` lacks. Raises OSError or HTTPException where the transfer fails."""
    have = _size(part)
    if have == size:
        return
    have = 0 if have > size else have
    request = Request(url, headers={"User-Agent": "robench"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    with open_url(request) as response:
        if response.status == 200:
            have = 0
        elif not str(response.headers["Content-Range"]).startswith(f"bytes {have}-"):
            raise URLError(f"answered {response.status} with another range than asked for")
        offered = response.headers["Content-Length"]
        if offered and offered.isdigit() and have + int(offered) != size:
            raise URLError(f"offers {have + int(offered):,} bytes, expected {size:,}")
        have = _append(response, part, have, size, progress)
    if have < size:
        raise URLError(f"broke off after {have:,} of {size:,} bytes")


def _append(response: Any, part: Path, have: int, size: int, progress: Progress) -> int:
    try:
        file = part.open("ab" if have else "wb")
    except OSError as error:
        raise _unwritable(part, error) from None
    with file:
        steps = range((size - have + _CHUNK - 1) // _CHUNK)
        for _ in progress(steps, f"Downloading {part.stem} (MiB)"):
            data = response.read(min(_CHUNK, size - have))
            if not data:
                break
            try:
                file.write(data)
                file.flush()
            except OSError as error:
                raise _unwritable(part, error) from None
            have += len(data)
    return have


def _size(path: Path) -> int:
    with suppress(OSError):
        return path.stat().st_size
    return 0


def _why(error: OSError | HTTPException) -> str:
    if isinstance(error, HTTPError):
        error.close()
        return f"answered {error.code} {error.msg}"
    reason = error.reason if isinstance(error, URLError) else error
    return next(iter(str(reason).splitlines()), "") or type(error).__name__


def _unwritable(path: Path, error: OSError) -> DataError:
    return DataError(f"{path} cannot be written ({error.strerror}); name another folder by --data")
