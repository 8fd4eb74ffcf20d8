"""The stand-in for EC2 Instance Connect Endpoints: a signed web socket becomes a connection to a node of the VPC.

Like AWS's it is an endpoint of the service and not of a VPC: whose node is reached, the request says, and it is checked
who may. The bytes then come to the node from the endpoint's own address, which is the business of ``dial``.

Source: "EC2 Instance Connect Endpoint" in the Amazon EC2 User Guide; what the AWS CLI's ``open-tunnel`` sends.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import logging
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.sync.server import ServerConnection
from websockets.sync.server import serve as serve_websockets

from infra.local.twin.services.signature import AccessKey, BadSignature, verify

SERVICE = "ec2-instance-connect"
PATH = "/openTunnel"
PORTS = (22, 3389)
_LONGEST_SECONDS = 3600
_MOST_TUNNELS = 20
_PIECE_BYTES = 65_000

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TunnelEndpoint:
    """An EC2 Instance Connect Endpoint.

    Args:
        id: ``eice-…``.
        account: whose it is; only that account's keys open tunnels through it.
        region: for which requests must be signed.
        dns_name: the host that requests must name, and sign.
        networks: the address ranges of its VPC.
    """

    id: str
    account: str
    region: str
    dns_name: str
    networks: tuple[ipaddress.IPv4Network, ...]


@dataclass(frozen=True, slots=True)
class _Way:
    endpoint: TunnelEndpoint
    address: str
    port: int
    seconds: int


class _Refused(Exception):
    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


class _Connection(ServerConnection):
    """A web socket, and the way to a node that belongs to it once its request was admitted."""

    node: socket.socket | None = None
    way: _Way | None = None
    give_back: Callable[[], None] = staticmethod(lambda: None)

    def handshake(self, *args: Any, **kwargs: Any) -> None:
        """Shake hands; what was admitted and does not become a web socket leaves no connection to the node."""
        try:
            super().handshake(*args, **kwargs)
        finally:
            if self.state is not State.OPEN:
                self.leave()

    def leave(self) -> None:
        """Close the connection to the node, once."""
        node, self.node = self.node, None
        if node is not None:
            node.close()
            self.give_back()


class TunnelService:
    """Opens tunnels for who may.

    Args:
        key_of: the access key with an id, its account and secret; None if it was never issued.
        find: the endpoint with an id; None if there is none.
        dial: connects from an endpoint (its id) to an address and port of its VPC; it gives up by itself, with an
            OSError. What it returns is closed here.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        key_of: Callable[[str], AccessKey | None],
        find: Callable[[str], TunnelEndpoint | None],
        dial: Callable[[str, str, int], socket.socket],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._key_of, self._find, self._dial, self._clock = key_of, find, dial, clock
        self._open: Counter[str] = Counter()
        self._lock = threading.Lock()

    def serve(self, listener: socket.socket) -> None:
        """Serve until the listener is shut from another thread; then end every tunnel, and return."""
        server = serve_websockets(
            self._pipe,
            sock=listener,
            process_response=self._admit,
            create_connection=_Connection,
            compression=None,
            server_header=None,
            logger=_log,
        )
        try:
            server.serve_forever()
        finally:
            server.shutdown()

    def _admit(self, connection: ServerConnection, request: Request, response: Response) -> Response | None:
        """Refuse a request, or dial the node; the web socket opens once the node has answered."""
        assert isinstance(connection, _Connection)  # noqa: S101 - as serve made it
        if response.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
            return None  # no web socket was asked for
        try:
            way = self._checked(request)
            self._take(way.endpoint.id)
        except _Refused as refusal:
            _log.info("a tunnel is refused: %s", refusal)
            return _answer(refusal.status, str(refusal))
        try:
            connection.node = self._dial(way.endpoint.id, way.address, way.port)
        except OSError as error:
            self._give_back(way.endpoint.id)
            _log.info("%s: %s:%s does not answer: %s", way.endpoint.id, way.address, way.port, error)
            return _answer(HTTPStatus.GATEWAY_TIMEOUT, f"{way.address}:{way.port} does not answer: {error}")
        connection.way = way
        connection.give_back = lambda: self._give_back(way.endpoint.id)
        return None

    def _checked(self, request: Request) -> _Way:
        if request.path.partition("?")[0] != PATH:
            raise _Refused(HTTPStatus.NOT_FOUND, "there is nothing but " + PATH)
        hosts = request.headers.get_all("Host")
        if len(hosts) != 1:
            raise _Refused(HTTPStatus.BAD_REQUEST, "one header Host is due")
        try:
            signed = verify(request.path, hosts[0], service=SERVICE, key_of=self._key_of, now=self._clock())
        except BadSignature as error:
            raise _Refused(HTTPStatus.FORBIDDEN, str(error)) from None
        asked = signed.query
        endpoint = self._find(asked.get("instanceConnectEndpointId", ""))
        if endpoint is None or endpoint.account != signed.key.account:
            # Another account's endpoint is not told from one that is not there.
            raise _Refused(HTTPStatus.FORBIDDEN, f"account {signed.key.account} has no such endpoint")
        if signed.region != endpoint.region:
            raise _Refused(HTTPStatus.FORBIDDEN, f"the request is signed for {signed.region}, not {endpoint.region}")
        if hosts[0] != endpoint.dns_name:
            raise _Refused(HTTPStatus.FORBIDDEN, f"the host {hosts[0][:100]!r} is not the endpoint's")
        port = _number(asked.get("remotePort", ""), "remotePort")
        if port not in PORTS:
            raise _Refused(HTTPStatus.BAD_REQUEST, f"the port {port} is not one of {PORTS}")
        seconds = _number(asked.get("maxTunnelDuration", str(_LONGEST_SECONDS)), "maxTunnelDuration")
        if not 1 <= seconds <= _LONGEST_SECONDS:
            raise _Refused(HTTPStatus.BAD_REQUEST, f"maxTunnelDuration is not 1 to {_LONGEST_SECONDS}")
        address = _address(asked.get("privateIpAddress", ""))
        if not any(address in network for network in endpoint.networks):
            raise _Refused(HTTPStatus.BAD_REQUEST, f"{address} is not in the VPC of the endpoint")
        return _Way(endpoint, str(address), port, seconds)

    def _take(self, endpoint: str) -> None:
        with self._lock:
            if self._open[endpoint] >= _MOST_TUNNELS:
                raise _Refused(HTTPStatus.TOO_MANY_REQUESTS, f"{endpoint} has {_MOST_TUNNELS} tunnels already")
            self._open[endpoint] += 1

    def _give_back(self, endpoint: str) -> None:
        with self._lock:
            self._open[endpoint] -= 1

    def _pipe(self, connection: ServerConnection) -> None:
        """Carry bytes both ways until either end has had enough, or the time is up."""
        assert isinstance(connection, _Connection)  # noqa: S101 - as serve made it
        node, way = connection.node, connection.way
        if node is None or way is None:
            return
        node.settimeout(None)
        back = threading.Thread(target=_from_node, args=(node, connection), daemon=True)
        limit = threading.Timer(way.seconds, lambda: connection.close(1000, "the tunnel's time is up"))
        limit.daemon = True
        try:
            back.start()
            limit.start()
            for piece in connection:
                if isinstance(piece, str):
                    connection.close(1003, "a tunnel carries bytes")
                    break
                node.sendall(piece)
        except (OSError, ConnectionClosed) as error:
            _log.debug("%s: %s", way.endpoint.id, error)
        finally:
            limit.cancel()
            with contextlib.suppress(OSError):
                node.shutdown(socket.SHUT_RDWR)
            back.join()
            connection.leave()


def _from_node(node: socket.socket, connection: ServerConnection) -> None:
    with contextlib.suppress(OSError, ConnectionClosed):
        while piece := node.recv(_PIECE_BYTES):
            connection.send(piece)
    connection.close()


def _number(text: str, name: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise _Refused(HTTPStatus.BAD_REQUEST, f"{name} is no number")
    return int(text)


def _address(text: str) -> ipaddress.IPv4Address:
    try:
        return ipaddress.IPv4Address(text)
    except ValueError:
        raise _Refused(HTTPStatus.BAD_REQUEST, "privateIpAddress is no address") from None


def _answer(status: HTTPStatus, message: str) -> Response:
    body = json.dumps({"message": message}).encode()
    headers = Headers({"Content-Type": "application/json", "Content-Length": str(len(body)), "Connection": "close"})
    return Response(status.value, status.phrase, headers, body)
