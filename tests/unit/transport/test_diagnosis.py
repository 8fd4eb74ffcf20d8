"""Why a site does not reach the aggregator: what passes by itself, and what needs a person."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from authority import Authority

from fl_app.config import Address
from fl_app.transport.diagnosis import diagnose
from fl_app.transport.identity import load_credentials


@pytest.fixture
def hangs_up() -> Iterator[int]:
    """Listen as what stands before an aggregator that is not up: every connection is taken and closed."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    found, _ = server.accept()
                except OSError:
                    return
                found.recv(1 << 16)
                found.close()

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]


def test_a_connection_that_is_closed_in_the_handshake_is_waited_out(tmp_path: Path, hangs_up: int) -> None:
    Authority().issue(tmp_path / "tls", "site-a")
    credentials = load_credentials(tmp_path / "tls", federation="test", role="client", node="site-a")
    there = Address("127.0.0.1", hangs_up)
    found = diagnose(there, there, credentials, "aggregator.test.federate")
    assert "closed in the middle of the TLS handshake" in found.text
    assert not found.needs_a_person
