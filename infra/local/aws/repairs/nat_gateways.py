"""NAT gateways: the interface has a free address of its subnet, says whose it is, and goes with the gateway.

Source: "NAT gateway basics", Amazon VPC User Guide; "Error codes for the Amazon EC2 API", InvalidIPAddress.InUse.
"""

from __future__ import annotations

from typing import Any

from moto.ec2.models import nat_gateways
from moto.ec2.models.nat_gateways import NatGatewayBackend


def repair() -> None:
    """Hold a gateway's interface to AWS's rules."""
    create, delete = NatGatewayBackend.create_nat_gateway, NatGatewayBackend.delete_nat_gateway

    def create_nat_gateway(self: Any, *args: Any, **kwargs: Any) -> Any:
        gateway = create(self, *args, **kwargs)
        interface = gateway._eni
        interface.description = f"Interface for NAT Gateway {gateway.id}"
        interface.interface_type = "nat_gateway"
        interface.requester_managed = True
        interface.status = "in-use"
        return gateway

    def delete_nat_gateway(self: Any, nat_gateway_id: str) -> Any:
        gateway = delete(self, nat_gateway_id)
        for address in [found for found in self.addresses if found.eni is gateway._eni]:
            self.disassociate_address(association_id=address.association_id)
        self.enis.pop(gateway._eni.id, None)
        return gateway

    # moto draws the address from anywhere; without one, the interface gets a free address of its subnet.
    nat_gateways.random_private_ip = lambda: None
    NatGatewayBackend.create_nat_gateway = create_nat_gateway
    NatGatewayBackend.delete_nat_gateway = delete_nat_gateway
