"""Peering connections: ranges that overlap cannot be peered, and a route over a deleted peering leads nowhere.

Source: "Create a VPC peering connection" and "VPC peering connection lifecycle" in the Amazon VPC Peering Guide; the
state ``blackhole`` in "Route", Amazon EC2 API Reference.
"""

from __future__ import annotations

import ipaddress
from typing import Any

from moto.ec2.models.route_tables import Route
from moto.ec2.models.vpc_peering_connections import VPCPeeringConnectionBackend

#: The status message of a request that AWS fails.
FAILED = "Failed due to incorrect VPC-ID, Account ID, or overlapping CIDR range"


def repair() -> None:
    """Fail requests between overlapping VPCs; let routes lose their peering."""
    create = VPCPeeringConnectionBackend.create_vpc_peering_connection

    def create_vpc_peering_connection(self: Any, vpc: Any, peer_vpc: Any, *args: Any, **kwargs: Any) -> Any:
        peering = create(self, vpc, peer_vpc, *args, **kwargs)
        own, other = ipaddress.ip_network(vpc.cidr_block), ipaddress.ip_network(peer_vpc.cidr_block)
        if own.overlaps(other):
            peering._status.code, peering._status.message = "failed", FAILED
        return peering

    def state(self: Any) -> str:
        return "blackhole" if self.vpc_pcx is not None and self.vpc_pcx.status["Code"] != "active" else "active"

    VPCPeeringConnectionBackend.create_vpc_peering_connection = create_vpc_peering_connection
    Route.state = property(state)
