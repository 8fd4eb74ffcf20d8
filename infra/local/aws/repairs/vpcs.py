"""VPCs, subnets and endpoints: what is in use is not deleted, and an endpoint's interface is where its subnet is.

Source: DeleteSubnet, DeleteVpc and CreateVpcEndpoint in the Amazon EC2 API Reference; "Delete a VPC peering connection"
in the Amazon VPC Peering Guide.
"""

from __future__ import annotations

from typing import Any

from moto.ec2.exceptions import DependencyViolationError
from moto.ec2.models import vpcs
from moto.ec2.models.subnets import SubnetBackend
from moto.ec2.models.vpcs import VPCBackend


def repair() -> None:
    """Hold deletions and endpoints to AWS's rules."""
    delete_subnet, delete_vpc = SubnetBackend.delete_subnet, VPCBackend.delete_vpc
    create_endpoint = VPCBackend.create_vpc_endpoint

    def delete_subnet_unused(self: Any, subnet_id: str) -> Any:
        if any(interface.subnet.id == subnet_id for interface in self.enis.values()):
            raise DependencyViolationError(f"The subnet '{subnet_id}' has dependencies and cannot be deleted.")
        return delete_subnet(self, subnet_id)

    def delete_vpc_unused(self: Any, vpc_id: str) -> Any:
        peerings = [p for p in self.vpc_pcxs.values() if vpc_id in (p.vpc.id, p.peer_vpc.id)]
        groups = [group for group in self.groups.get(vpc_id, {}).values() if group.name != "default"]
        if groups or any(p.status["Code"] == "pending-acceptance" and p.peer_vpc.id == vpc_id for p in peerings):
            raise DependencyViolationError(f"The vpc '{vpc_id}' has dependencies and cannot be deleted.")
        deleted = delete_vpc(self, vpc_id)
        for peering in peerings:
            if peering.status["Code"] in ("active", "pending-acceptance"):
                self.delete_vpc_peering_connection(peering.id)
        return deleted

    def create_vpc_endpoint(
        self: Any, vpc_id: str, service_name: str, endpoint_type: Any, *args: Any, **kwargs: Any
    ) -> Any:
        endpoint = create_endpoint(self, vpc_id, service_name, endpoint_type, *args, **kwargs)
        groups = [self.get_security_group_from_id(group) for group in kwargs.get("security_group_ids") or ()]
        for interface_id in endpoint.network_interface_ids or ():
            interface = self.enis[interface_id]
            interface.description = f"VPC Endpoint Interface {endpoint.id}"
            interface.interface_type = "vpc_endpoint"
            interface.requester_managed = True
            interface.status = "in-use"
            if groups:
                interface._group_set = groups
        return endpoint

    # moto draws an endpoint's address from anywhere; without one, the interface gets a free address of its subnet.
    vpcs.random_private_ip = lambda: None
    SubnetBackend.delete_subnet = delete_subnet_unused
    VPCBackend.delete_vpc = delete_vpc_unused
    VPCBackend.create_vpc_endpoint = create_vpc_endpoint
