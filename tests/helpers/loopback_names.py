"""Lets a client in this process reach real host names at ports of loopback, as the resolver and routes would."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from infra.local.twin.services.names import matches


def lead_to(monkeypatch: pytest.MonkeyPatch, ports: Mapping[str, int]) -> None:
    """Let names lead to ports of 127.0.0.1.

    Args:
        monkeypatch: of the test.
        ports: host name, or ``*.`` and a name, to the port.
    """
    real: Callable[..., Any] = socket.getaddrinfo

    def look_up(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        known = next((known for known in ports if isinstance(name, str) and matches(name, known)), None)
        if known is not None:
            return real("127.0.0.1", ports[known], *args, **kwargs)
        if name != "127.0.0.1":
            raise socket.gaierror(socket.EAI_NONAME, f"{name} does not exist")
        return real(host, port, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
