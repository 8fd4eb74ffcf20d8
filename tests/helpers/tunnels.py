"""A tunnel service on loopback, what opens tunnels through it as botocore signs them, and a node behind it."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import urlencode

from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from websockets.sync.client import ClientConnection, connect

from infra.local.twin.services.signature import AccessKey
from infra.local.twin.services.tunnel import TunnelEndpoint, TunnelService

KEY = AccessKey("AKIAEMUL111111111111", "111111111111", "the secret of hospital-a")
OTHERS = AccessKey("AKIAEMUL222222222222", "222222222222", "the secret of hospital-b")
ENDPOINT = TunnelEndpoint(
    "eice-00000000000000001",
    KEY.account,
    "us-east-1",
    "eice-00000000000000001.00000001.ec2-instance-connect-endpoint.us-east-1.amazonaws.com",
    (ipaddress.IPv4Network("10.10.0.0/16"),),
)
ADDRESS = "10.10.0.10"


def signed(
    key: AccessKey = KEY,
    *,
    host: str = ENDPOINT.dns_name,
    service: str = "ec2-instance-connect",
    region: str = "us-east-1",
    expires: int = 60,
    token: str | None = None,
    **query: str,
) -> str:
    """Return a URL to open a tunnel as botocore signs it."""
    asked = {"instanceConnectEndpointId": ENDPOINT.id, "remotePort": "22", "privateIpAddress": ADDRESS, **query}
    request = AWSRequest("GET", f"https://{host}/openTunnel?{urlencode(asked)}")
    SigV4QueryAuth(Credentials(key.id, key.secret, token), service, region, expires).add_auth(request)
    return str(request.url)


@dataclass
class Node:
    """Listens on loopback as a node's port 22 would; ``dialled`` is what the service asked for."""

    listener: socket.socket
    dialled: list[tuple[str, str, int]] = field(default_factory=list)
    refuses: bool = False

    def dial(self, endpoint: str, address: str, port: int) -> socket.socket:
        self.dialled.append((endpoint, address, port))
        if self.refuses:
            raise TimeoutError("timed out")
        return socket.create_connection(self.listener.getsockname(), 5)

    def accept(self) -> socket.socket:
        self.listener.settimeout(5)
        connection, _ = self.listener.accept()
        connection.settimeout(5)
        return connection


@dataclass
class Tunnels:
    """A tunnel service that runs."""

    service: TunnelService
    address: tuple[str, int]
    node: Node
    clock: Callable[[], float]

    @contextlib.contextmanager
    def open(self, url: str) -> Iterator[ClientConnection]:
        """Open a web socket by a signed URL; only its bytes go to loopback, its names are those that were signed."""
        with connect(
            url.replace("https://", "ws://"),
            sock=socket.create_connection(self.address, 5),
            proxy=None,
            compression=None,
            open_timeout=10,
        ) as opened:
            yield opened


@contextlib.contextmanager
def listening(backlog: int = 64) -> Iterator[socket.socket]:
    """Listen on a free port of loopback."""
    with socket.create_server(("127.0.0.1", 0), backlog=backlog) as listener:
        yield listener


@contextlib.contextmanager
def tunnels(clock: Callable[[], float], node: Node, keys: tuple[AccessKey, ...] = (KEY, OTHERS)) -> Iterator[Tunnels]:
    """Run a tunnel service for one endpoint, and end it."""
    service = TunnelService({key.id: key for key in keys}.get, {ENDPOINT.id: ENDPOINT}.get, node.dial, clock=clock)
    with listening() as listener:
        thread = threading.Thread(target=service.serve, args=(listener,))
        thread.start()
        try:
            yield Tunnels(service, listener.getsockname(), node, clock)
        finally:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)
            assert not thread.is_alive(), "the service does not end when its listener is shut"
