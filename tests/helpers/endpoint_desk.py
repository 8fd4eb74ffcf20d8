"""An endpoint before a stand-in for loopback AWS, and a client that says exactly what a test wants said."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from fake_upstream import FakeUpstream
from served import DEADLINE_SECONDS, served

from infra.local.twin.services import Endpoint, EndpointService, TwinAuthority

OURS, THEIRS = "111111111111", "222222222222"
KEYS = {"AKIAOURS000000000000": OURS, "AKIATHEIRS0000000000": THEIRS}
REGION = "us-east-1"


def signed(service: str, key: str = "AKIAOURS000000000000", region: str = REGION) -> dict[str, str]:
    scope = f"{key}/20260501/{region}/{service}/aws4_request"
    value = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host;x-amz-date, Signature=00ff"
    return {"Authorization": value}


@dataclass
class Desk:
    """Where tests of an endpoint sit."""

    upstream: FakeUpstream
    authority: TwinAuthority
    seen: list[bytes] = field(default_factory=list)
    shown: threading.Condition = field(default_factory=threading.Condition)

    def watch(self, piece: bytes) -> None:
        with self.shown:
            self.seen.append(piece)
            self.shown.notify_all()

    def saw(self, word: bytes, seconds: float = DEADLINE_SECONDS) -> bool:
        """Wait until a word was shown whole; what is refused may be read after the answer was sent."""
        with self.shown:
            return self.shown.wait_for(lambda: any(word in piece for piece in self.seen), seconds)

    @contextmanager
    def endpoint(
        self, service: str, account_of_key: Callable[[str], str | None] = KEYS.get
    ) -> Iterator[Callable[..., http.client.HTTPResponse]]:
        """Serve an endpoint; yields a function that asks it and returns the answer, already read."""
        made = EndpointService(self.upstream.address, self.authority, account_of_key, watch=self.watch)
        with served(made.serve, Endpoint(service, REGION, OURS)) as port:

            def ask(
                method: str = "POST",
                path: str = "/",
                headers: dict[str, str] | None = None,
                body: bytes | None = None,
                host: str = f"{service}.{REGION}.amazonaws.com",
            ) -> http.client.HTTPResponse:
                connection = http.client.HTTPConnection(host, 443, timeout=DEADLINE_SECONDS)
                connection.sock = self.connect(port, host)
                connection.request(method, path, body=body, headers=headers or {})
                answer = connection.getresponse()
                answer.content = answer.read()  # type: ignore[attr-defined]
                connection.close()
                return answer

            ask.port = port  # type: ignore[attr-defined]
            yield ask

    def connect(self, port: int, host: str) -> ssl.SSLSocket:
        """Connect as a client that trusts the authority."""
        context = ssl.create_default_context(cafile=str(self.authority.ca_path))
        plain = socket.create_connection(("127.0.0.1", port), DEADLINE_SECONDS)
        return context.wrap_socket(plain, server_hostname=host)


def desk(upstream: FakeUpstream, folder: Path) -> Desk:
    """Make one with an authority of its own."""
    return Desk(upstream, TwinAuthority.load_or_make(folder))


def code(answer: http.client.HTTPResponse) -> str:
    """Return the name of an error, of JSON or XML."""
    content: bytes = answer.content  # type: ignore[attr-defined]
    if content.startswith(b"{"):
        return str(json.loads(content)["__type"])
    return content.partition(b"<Code>")[2].partition(b"</Code>")[0].decode()
