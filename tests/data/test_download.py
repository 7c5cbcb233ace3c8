"""Downloads from a server on this machine: resumed and checked."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from cifar_files import md5

from robench.contracts import DataError
from robench.data.download import download
from robench.engine.progress import silent

CONTENT = np.random.default_rng(0).bytes(5000)
MIDDLE = 3000
Asked = list[tuple[str, str | None]]
Get = Callable[..., Asked]


class Server(ThreadingHTTPServer):
    """Serves CONTENT; each path is another kind of mirror. ``asked`` are the ranges asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Mirror)
        self.asked: Asked = []

    def handle_error(self, request: object, client_address: object) -> None:
        """The client of a broken transfer may be gone."""


class Mirror(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *args: object) -> None:
        """Nothing."""

    def do_GET(self) -> None:
        kind, asked = self.path.strip("/"), self.headers["Range"]
        self.server.asked.append((kind, asked))
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        if kind == "gone":
            return self.send_error(404)
        body = {"wrong": bytes(5000), "short": CONTENT[:4000]}.get(kind, CONTENT)
        ranged = start > 0 and kind != "deaf"
        body = body[start:] if ranged else body
        self.send_response(206 if ranged else 200)
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
def get(server: Server, tmp_path: Path) -> Get:
    """Download from these kinds of mirrors, ``part`` being there already; what was asked for."""

    def get(*kinds: str, part: bytes | None = None) -> Asked:
        target = tmp_path / "new" / "file.tar.gz"
        if part is not None:
            target.parent.mkdir()
            target.with_name("file.tar.gz.part").write_bytes(part)
        urls = [f"http://127.0.0.1:{server.server_port}/{kind}" for kind in kinds]
        download(urls, target, md5(CONTENT), len(CONTENT), silent)
        assert [path.name for path in target.parent.iterdir()] == ["file.tar.gz"]
        assert target.read_bytes() == CONTENT
        return server.asked

    return get


@pytest.mark.parametrize(
    ("kinds", "part", "asked"),
    [
        (["good"], None, [("good", None)]),
        (["good"], CONTENT[:1234], [("good", "bytes=1234-")]),
        (["good"], CONTENT, []),
        (["good"], bytes(1234), [("good", "bytes=1234-"), ("good", None)]),
        (["good"], bytes(6000), [("good", None)]),
        (["broken"], None, [("broken", None), ("broken", f"bytes={MIDDLE}-")]),
        (["deaf"], CONTENT[:1234], [("deaf", "bytes=1234-")]),
        (["gone", "good"], None, [("gone", None), ("good", None)]),
        (["wrong", "good"], None, [("wrong", None), ("good", None)]),
        (["short", "good"], None, [("short", None), ("good", None)]),
        (
            ["dying", "good"],
            None,
            [("dying", None), ("dying", f"bytes={MIDDLE}-"), ("good", f"bytes={MIDDLE}-")],
        ),
    ],
)
def test_the_whole_file_arrives_and_only_what_is_missing_is_asked_for(
    get: Get, tmp_path: Path, kinds: list[str], part: bytes | None, asked: Asked
) -> None:
    assert get(*kinds, part=part) == asked
    assert get(*kinds) == asked  # what is there is not downloaded again
    (tmp_path / "new" / "file.tar.gz").write_bytes(b"something else")
    assert get("good")[-1] == ("good", None)


def test_every_mirror_is_named_with_its_reason(get: Get, server: Server) -> None:
    with pytest.raises(DataError) as caught:
        get("gone", "wrong", "short", "dying")
    for reason in (
        "HTTP Error 404: Not Found",
        "sent another file than the published one",
        "offers 4,000 bytes, expected 5,000",
        "broke off after 3,000 of 5,000 bytes",
        "put file.tar.gz into ",
    ):
        assert reason in str(caught.value)
    assert str(caught.value).count(f"127.0.0.1:{server.server_port}: ") == 4


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(DataError, match=r"data cannot be made \("):
        download([], tmp_path / "file" / "data" / "x", "", 5, silent)
