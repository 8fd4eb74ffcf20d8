"""Mutual TLS between two folders of keys and certificates, in memory."""

from __future__ import annotations

import contextlib
import ssl
from pathlib import Path


def shake_hands(server: Path, client: Path, name: str) -> None:
    """Open mutual TLS in memory; raise what the first side to object says."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    accepting = context(ssl.PROTOCOL_TLS_SERVER, server).wrap_bio(to_server, to_client, server_side=True)
    connecting = context(ssl.PROTOCOL_TLS_CLIENT, client).wrap_bio(to_client, to_server, server_hostname=name)
    waiting = [connecting, accepting]
    for _ in range(10):
        for side in list(waiting):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
                waiting.remove(side)
    assert waiting == []


def context(protocol: int, files: Path) -> ssl.SSLContext:
    made = ssl.SSLContext(protocol)
    made.verify_mode = ssl.CERT_REQUIRED
    made.verify_flags |= ssl.VERIFY_X509_STRICT
    made.load_cert_chain(files / "certificate.pem", files / "key.pem")
    made.load_verify_locations(files / "authority.pem")
    return made
