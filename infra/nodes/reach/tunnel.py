"""A tunnel through an EC2 Instance Connect Endpoint: a web socket, signed by the operator's own credentials.

boto3 has no call for it. What is sent is what the AWS CLI's ``open-tunnel`` sends: a presigned URL that is good for a
minute, then bytes both ways.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
from urllib.parse import urlencode

from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from infra.accounts import explained
from infra.errors import FederateError
from infra.nodes.reach.instance import ConnectEndpoint, Instance
from infra.nodes.reach.outcome import NobodyAnswers, is_loopback
from infra.nodes.remote import Remote

#: ``host:port`` of the stand-in, set by a local session whose nodes can be reached; otherwise the endpoint's own name.
TUNNEL_VARIABLE = "FEDERATE_TUNNEL"
_SERVICE = "ec2-instance-connect"
_VALID_SECONDS = 60
_LONGEST_SECONDS = 3600
_CONNECT_SECONDS = 10.0
#: No pings: whether AWS's end answers them is nowhere said, and SSH looks after its connection itself.
_PING_SECONDS = None
#: The endpoint answers once the node has, or not.
_OPEN_SECONDS = 30.0
_PIECE_BYTES = 65_000


class TunnelRefused(FederateError):
    """The endpoint does not let this operator in."""

    exit_code = 3


def open_tunnel(remote: Remote, endpoint: ConnectEndpoint, instance: Instance, port: int = 22) -> socket.socket:
    """Connect to a port of a node's instance.

    Args:
        remote: the node, whose account's credentials sign the request.
        endpoint: of its network.
        instance: where to.
        port: 22 is the only one that the node admits.

    Returns:
        A socket; closing it closes the tunnel. It lives for an hour at most.

    Raises:
        TunnelRefused: the endpoint refuses the request.
        NobodyAnswers: the endpoint is not there, or the node is not behind it.
    """
    opened = contextlib.ExitStack()
    try:
        tunnel = opened.enter_context(_connect(remote, signed_url(remote, endpoint, instance, port)))
    except InvalidStatus as error:
        raise _refusal(remote, error) from None
    except (OSError, InvalidHandshake) as error:
        raise NobodyAnswers(
            remote, f"its Instance Connect Endpoint {endpoint.id} cannot be reached ({error})"
        ) from None
    ours, theirs = socket.socketpair()
    threading.Thread(target=_to_node, args=(ours, tunnel, opened), daemon=True).start()
    threading.Thread(target=_from_node, args=(tunnel, ours), daemon=True).start()
    return theirs


def signed_url(remote: Remote, endpoint: ConnectEndpoint, instance: Instance, port: int) -> str:
    """Return the URL that opens a tunnel within the next minute."""
    asked = {
        "instanceConnectEndpointId": endpoint.id,
        "remotePort": port,
        "privateIpAddress": instance.address,
        "maxTunnelDuration": _LONGEST_SECONDS,
    }
    request = AWSRequest("GET", f"https://{endpoint.dns_name}/openTunnel?{urlencode(asked)}")
    with explained(remote.where):
        SigV4QueryAuth(remote.credentials(), _SERVICE, remote.node.region, _VALID_SECONDS).add_auth(request)
    return str(request.url)


def _connect(remote: Remote, url: str) -> ClientConnection:
    where = os.environ.get(TUNNEL_VARIABLE)
    if where:
        host, _, port = where.rpartition(":")
        if not port.isdigit():
            raise FederateError(f"{TUNNEL_VARIABLE} is {where!r}; HOST:PORT is due.")
        # Only the bytes go there: the names in the request are those that were signed.
        there = socket.create_connection((host, int(port)), _CONNECT_SECONDS)
        there.settimeout(None)
        url = url.replace("https://", "ws://", 1)
        return connect(
            url, sock=there, proxy=None, open_timeout=_OPEN_SECONDS, compression=None, ping_interval=_PING_SECONDS
        )
    if is_loopback():
        raise NobodyAnswers(remote, "no local session says where tunnels are taken")
    return connect(
        url.replace("https://", "wss://", 1), open_timeout=_OPEN_SECONDS, compression=None, ping_interval=_PING_SECONDS
    )


def _refusal(remote: Remote, error: InvalidStatus) -> FederateError:
    status, body = error.response.status_code, bytes(error.response.body or b"").decode(errors="replace")
    try:
        said = str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        said = body.strip()[:200]
    if status >= 500:
        return NobodyAnswers(remote, said or f"the Instance Connect Endpoint says {status}")
    return TunnelRefused(
        f"{remote.where}: the Instance Connect Endpoint refuses the tunnel ({status}): {said or 'no reason given'}.",
        remedy=f"The profile {remote.node.profile} needs ec2-instance-connect:OpenTunnel and SendSSHPublicKey.",
    )


def _to_node(ours: socket.socket, tunnel: ClientConnection, opened: contextlib.ExitStack) -> None:
    """Carry what is written into the socket; when it is closed, so is the tunnel."""
    with opened, contextlib.suppress(OSError, ConnectionClosed):
        while piece := ours.recv(_PIECE_BYTES):
            tunnel.send(piece)


def _from_node(tunnel: ClientConnection, ours: socket.socket) -> None:
    """Carry what comes from the node; when that ends, the socket's reader finds its end."""
    with contextlib.suppress(OSError, ConnectionClosed):
        for piece in tunnel:
            ours.sendall(piece if isinstance(piece, bytes) else piece.encode())
    with contextlib.suppress(OSError):
        ours.shutdown(socket.SHUT_RDWR)
    ours.close()
