"""A stand-in for loopback AWS that shows what reached it, and answers as a test tells it to."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Request:
    """What arrived."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes = b""


@dataclass
class FakeUpstream:
    """Answers every request with 200 and ``answer``, or as ``behave`` does; keeps what it was asked."""

    port: int = 0
    answer: bytes = b"fine"
    behave: Callable[[BaseHTTPRequestHandler, Request], None] | None = None
    asked: list[Request] = field(default_factory=list)
    came: threading.Condition = field(default_factory=threading.Condition)

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self.port

    def wait(self, enough: Callable[[Request], bool], seconds: float = 10.0) -> bool:
        """Wait until what arrived of the last request is enough."""
        with self.came:
            return self.came.wait_for(lambda: bool(self.asked) and enough(self.asked[-1]), seconds)

    def arrived(self, request: Request, piece: bytes) -> None:
        with self.came:
            request.body += piece
            self.came.notify_all()


def read_body(handler: BaseHTTPRequestHandler, request: Request, upstream: FakeUpstream) -> None:
    """Take the body, of either framing, telling of each piece."""
    if request.headers.get("transfer-encoding") == "chunked":
        while size := int(handler.rfile.readline(), 16):
            upstream.arrived(request, handler.rfile.read(size))
            handler.rfile.readline()
        handler.rfile.readline()
        return
    left = int(request.headers.get("content-length", 0))
    while left and (piece := handler.rfile.read1(min(left, 65536))):  # type: ignore[attr-defined]
        left -= len(piece)
        upstream.arrived(request, piece)


@contextmanager
def fake_upstream() -> Iterator[FakeUpstream]:
    """Run one on loopback."""
    upstream = FakeUpstream()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Request(self.command, self.path, headers)
            with upstream.came:
                upstream.asked.append(request)
            if upstream.behave is not None:
                return upstream.behave(self, request)
            read_body(self, request, upstream)
            self.send_response(200)
            self.send_header("Content-Length", str(len(upstream.answer)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(upstream.answer)
            return None

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    for method in ("GET", "PUT", "POST", "HEAD", "DELETE"):
        setattr(Handler, f"do_{method}", Handler.handle_any)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    upstream.port = server.server_port
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield upstream
    finally:
        server.shutdown()
        server.server_close()
