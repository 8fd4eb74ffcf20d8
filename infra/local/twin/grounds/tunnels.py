"""EC2 Instance Connect in the twin: who may open a tunnel into which VPC, as the accounts hold it."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable

from infra.local.twin.deployed import Deployed
from infra.local.twin.network import Fabric, Picture, namespaces
from infra.local.twin.services.operators import administrators_key, tunnel_endpoint
from infra.local.twin.services.tunnel import TunnelEndpoint, TunnelService

_CONNECT_SECONDS = 10.0
_ID = re.compile(r"\beice-[0-9a-f]+")


def tunnels(deployed: Deployed, now: Callable[[], tuple[Picture, Fabric]]) -> TunnelService:
    """Return the service of all endpoints.

    Args:
        deployed: the accounts.
        now: the network as it is.
    """

    def find(endpoint: str) -> TunnelEndpoint | None:
        picture, _ = now()
        for interface in picture.interfaces:
            if _endpoint_of(interface.description) != endpoint:
                continue
            ec2 = deployed.client("ec2", interface.account, interface.region)
            told = ec2.describe_instance_connect_endpoints(InstanceConnectEndpointIds=[endpoint])
            ranges = [vpc.cidr for vpc in picture.vpcs if vpc.id == interface.vpc]
            return tunnel_endpoint(told["InstanceConnectEndpoints"][0], ranges)
        return None

    def dial(endpoint: str, address: str, port: int) -> socket.socket:
        _, fabric = now()
        for found in fabric.ports:
            if found.interface.kind == "connect" and _endpoint_of(found.interface.description) == endpoint:
                return namespaces.call(found.namespace, _connect, found.interface.address, (address, port))
        raise ConnectionRefusedError(f"{endpoint} has no place in the network yet")

    return TunnelService(administrators_key, find, dial)


def _endpoint_of(description: str) -> str | None:
    found = _ID.search(description)
    return found[0] if found else None


def _connect(source: str, target: tuple[str, int]) -> socket.socket:
    """Connect from the endpoint's own address, for which the rules of its group hold."""
    return socket.create_connection(target, timeout=_CONNECT_SECONDS, source_address=(source, 0))
