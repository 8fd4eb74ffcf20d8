"""The demo's download, from a real server on loopback: sums, continuation, and what a bad line does."""

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fl_app.eicu.fetch import TABLES, DownloadFailed, fetch_demo

FILES = {f"{table}.csv.gz": f"{table} ".encode() * 5000 for table in TABLES} | {"LICENSE.txt": b"ODbL"}


class Server(http.server.ThreadingHTTPServer):
    """Serves :data:`FILES` with ranges; ``breaks`` names a file that ends early once; ``asked`` is a record."""

    files: dict[str, bytes]
    breaks: str | None = None
    ranges = True
    asked: list[tuple[str, str | None]]


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        name, wanted = self.path.rpartition("/")[2], self.headers.get("Range")
        self.server.asked.append((name, wanted))
        if name not in self.server.files:
            self.send_error(404)
            return
        content, status = self.server.files[name], 200
        if wanted and self.server.ranges:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            content, status = content[start:], 206
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if name == self.server.breaks:
            self.server.breaks = None
            content = content[: len(content) // 2]
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as made:
        sums = "".join(f"{hashlib.sha256(content).hexdigest()} {name}\n" for name, content in FILES.items())
        made.files = FILES | {"SHA256SUMS.txt": sums.encode()}
        made.asked = []
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def fetch(server: Server, out: Path) -> list[str]:
    said: list[str] = []
    fetch_demo(out, f"http://127.0.0.1:{server.server_port}/demo", said.append)
    return said


def contents(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.iterdir()}


def test_every_table_and_the_licence_arrive(server: Server, tmp_path: Path) -> None:
    fetch(server, tmp_path / "demo")
    assert contents(tmp_path / "demo") == FILES


def test_what_is_there_is_not_downloaded_again(server: Server, tmp_path: Path) -> None:
    fetch(server, tmp_path)
    server.asked.clear()
    assert all(line.endswith("there already") for line in fetch(server, tmp_path))
    assert [name for name, _ in server.asked] == ["SHA256SUMS.txt"]


@pytest.mark.parametrize("ranges", [True, False])
def test_a_broken_download_is_continued_by_the_same_command(server: Server, tmp_path: Path, ranges: bool) -> None:
    server.breaks, server.ranges = "lab.csv.gz", ranges
    with pytest.raises(DownloadFailed, match="it continues where it stopped"):
        fetch(server, tmp_path)
    assert "lab.csv.gz" not in contents(tmp_path)
    begun = (tmp_path / "lab.csv.gz.part").stat().st_size
    fetch(server, tmp_path)
    assert ("lab.csv.gz", f"bytes={begun}-") in server.asked
    assert contents(tmp_path) == FILES


def test_a_file_that_is_not_the_published_one_is_refused_and_removed(server: Server, tmp_path: Path) -> None:
    server.files["lab.csv.gz"] = b"something else"
    with pytest.raises(DownloadFailed, match=r"lab\.csv\.gz: what came does not have the published SHA-256 sum"):
        fetch(server, tmp_path)
    assert not {"lab.csv.gz", "lab.csv.gz.part"} & set(contents(tmp_path))


def test_a_damaged_copy_is_replaced(server: Server, tmp_path: Path) -> None:
    (tmp_path / "lab.csv.gz").write_bytes(b"damaged")
    fetch(server, tmp_path)
    assert contents(tmp_path) == FILES


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/", "ftp://example.org", "file:///etc"])
def test_an_address_that_does_not_serve_is_an_error_with_a_next_step(tmp_path: Path, url: str) -> None:
    with pytest.raises(DownloadFailed, match=url.rstrip("/")):
        fetch_demo(tmp_path, url)


def test_a_server_without_the_sums_is_an_error(server: Server, tmp_path: Path) -> None:
    del server.files["SHA256SUMS.txt"]
    with pytest.raises(DownloadFailed, match="404"):
        fetch(server, tmp_path)
