"""Downloads from a server on this machine: resumed and checked."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from cifar_files import md5, one_line, quiet

from robench.contracts import DataError
from robench.data import download as downloads
from robench.data.download import download

CONTENT = np.random.default_rng(0).bytes(5000)
MIDDLE = 3000


class Server(ThreadingHTTPServer):
    """Serves CONTENT; each path is another kind of mirror. ``ranges`` is what was asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Mirror)
        self.ranges: list[tuple[str, str | None]] = []

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{path}"

    def handle_error(self, request: object, client_address: object) -> None:
        """The client of a broken transfer may be gone."""


class Mirror(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *args: object) -> None:
        """Nothing."""

    def do_GET(self) -> None:
        kind, asked = self.path.strip("/"), self.headers["Range"]
        self.server.ranges.append((kind, asked))
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        if kind == "gone":
            return self.send_error(404)
        if kind == "strict" and start:
            return self.send_error(416)
        body = {"wrong": bytes(5000), "short": CONTENT[:4000]}.get(kind, CONTENT)
        ranged = start > 0 and kind != "deaf"
        self.send_response(206 if ranged else 200)
        if ranged:
            shifted = start + 1 if kind == "shifted" else start
            self.send_header("Content-Range", f"bytes {shifted}-{len(body) - 1}/{len(body)}")
            body = body[start:]
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        breaks = (kind == "broken" and start == 0) or kind == "dying"
        self.wfile.write(body[: MIDDLE if start == 0 else 0] if breaks else body)
        return None


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def get(server: Server, tmp_path: Path) -> Callable[..., bytes]:
    def get(*kinds: str) -> bytes:
        target = tmp_path / "new" / "file.tar.gz"
        urls = [server.url(kind) for kind in kinds]
        download(urls, target, md5(CONTENT), len(CONTENT), quiet)
        assert [path.name for path in target.parent.iterdir()] == ["file.tar.gz"]
        return target.read_bytes()

    return get


def part(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "file.tar.gz.part").write_bytes(content)


def test_a_download_arrives_whole(get: Callable[..., bytes], server: Server) -> None:
    assert get("good") == CONTENT
    assert server.ranges == [("good", None)]


def test_what_is_there_is_not_downloaded_again(get: Callable[..., bytes], server: Server) -> None:
    get("good")
    assert get("good") == CONTENT
    assert len(server.ranges) == 1


def test_a_wrong_file_of_that_name_is_replaced(get: Callable[..., bytes], tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "file.tar.gz").write_bytes(b"something else")
    assert get("good") == CONTENT


def test_a_broken_transfer_goes_on_where_it_stopped(
    get: Callable[..., bytes], server: Server
) -> None:
    assert get("broken") == CONTENT
    assert server.ranges == [("broken", None), ("broken", f"bytes={MIDDLE}-")]


def test_the_next_mirror_goes_on_where_the_first_died(
    get: Callable[..., bytes], server: Server
) -> None:
    assert get("dying", "good") == CONTENT
    assert server.ranges[-1] == ("good", f"bytes={MIDDLE}-")


def test_an_earlier_run_is_resumed(
    get: Callable[..., bytes], server: Server, tmp_path: Path
) -> None:
    part(tmp_path, CONTENT[:1234])
    assert get("good") == CONTENT
    assert server.ranges == [("good", "bytes=1234-")]


def test_an_earlier_run_that_was_complete_needs_no_request(
    get: Callable[..., bytes], server: Server, tmp_path: Path
) -> None:
    part(tmp_path, CONTENT)
    assert get("good") == CONTENT
    assert server.ranges == []


@pytest.mark.parametrize("left", [bytes(1234), bytes(5000), bytes(6000)])
def test_a_wrong_beginning_is_thrown_away(
    get: Callable[..., bytes], server: Server, tmp_path: Path, left: bytes
) -> None:
    part(tmp_path, left)
    assert get("good") == CONTENT
    assert server.ranges[-1] == ("good", None)


@pytest.mark.parametrize("kind", ["deaf", "strict"])
def test_a_mirror_that_cannot_resume_starts_over(
    get: Callable[..., bytes], tmp_path: Path, kind: str
) -> None:
    part(tmp_path, CONTENT[:1234])
    assert get(kind) == CONTENT


@pytest.mark.parametrize("kind", ["gone", "wrong", "short"])
def test_a_bad_first_mirror_is_passed_over(get: Callable[..., bytes], kind: str) -> None:
    assert get(kind, "good") == CONTENT


def test_a_dead_first_mirror_is_passed_over(server: Server, tmp_path: Path) -> None:
    with Server() as dead:
        nobody = dead.url("good")
    target = tmp_path / "file"
    urls = [nobody, server.url("good")]
    download(urls, target, md5(CONTENT), len(CONTENT), quiet)
    assert target.read_bytes() == CONTENT


def test_every_mirror_is_named_with_its_reason(get: Callable[..., bytes], server: Server) -> None:
    with pytest.raises(DataError) as caught:
        get("gone", "wrong", "short", "dying")
    message = one_line(caught.value)
    for reason in (
        "HTTP Error 404: Not Found",
        "sent another file than the published one",
        "offers 4,000 bytes, expected 5,000",
        "broke off after 3,000 of 5,000 bytes",
        "put file.tar.gz into ",
    ):
        assert reason in message
    assert message.count(f"127.0.0.1:{server.server_port}: ") == 4


def test_a_shifted_range_is_not_appended(get: Callable[..., bytes], tmp_path: Path) -> None:
    part(tmp_path, CONTENT[:1234])
    with pytest.raises(DataError, match="another range than asked for"):
        get("shifted")


def test_progress_counts_steps_of_bytes(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "_CHUNK", 1000)
    seen: list[tuple[int, str]] = []

    def progress(items, label):  # type: ignore[no-untyped-def]
        seen.append((len(items), label))
        return items

    part(tmp_path, CONTENT[:1500])
    target = tmp_path / "new" / "file.tar.gz"
    download([server.url("good")], target, md5(CONTENT), 5000, progress)
    assert seen == [(4, "Downloading file.tar.gz (MiB)")]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(DataError, match=r"data cannot be made \("):
        download([], tmp_path / "file" / "data" / "x", "", 5, quiet)
