"""A way out to the internet, where an account asks for one: ``internet: nat``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import aws_ec2 as ec2

from infra.federation.derive import Node
from stacks.endpoints import HTTPS

if TYPE_CHECKING:
    from stacks.private_network import PrivateNetwork

ANYWHERE = "0.0.0.0/0"


def add_nat(network: PrivateNetwork, node: Node) -> None:
    """Let the node dial HTTPS on the internet through a NAT gateway; nobody on the internet reaches anything.

    The gateway is the only thing in the public subnet, which has a route table of its own: the node's subnet never has
    a route to the internet gateway.
    """
    gateway = ec2.CfnInternetGateway(network, "InternetGateway")
    attachment = ec2.CfnVPCGatewayAttachment(
        network, "InternetGatewayAttachment", vpc_id=network.vpc.ref, internet_gateway_id=gateway.ref
    )
    subnet = ec2.CfnSubnet(
        network,
        "PublicSubnet",
        vpc_id=network.vpc.ref,
        cidr_block=str(node.public_subnet),
        availability_zone=node.availability_zone,
        map_public_ip_on_launch=False,
    )
    table = ec2.CfnRouteTable(network, "PublicRouteTable", vpc_id=network.vpc.ref)
    ec2.CfnSubnetRouteTableAssociation(network, "PublicSubnetRoutes", subnet_id=subnet.ref, route_table_id=table.ref)
    out = ec2.CfnRoute(
        network,
        "RouteToInternet",
        route_table_id=table.ref,
        destination_cidr_block=ANYWHERE,
        gateway_id=gateway.ref,
    )
    address = ec2.CfnEIP(network, "NatAddress", domain="vpc")
    nat = ec2.CfnNatGateway(network, "NatGateway", subnet_id=subnet.ref, allocation_id=address.attr_allocation_id)
    # Both need a gateway that is attached, and name only the gateway.
    for resource in (out, address):
        resource.add_dependency(attachment)
    nat.add_dependency(out)
    ec2.CfnRoute(
        network,
        "RouteToNat",
        route_table_id=network.route_table.ref,
        destination_cidr_block=ANYWHERE,
        nat_gateway_id=nat.ref,
    )
    ec2.CfnSecurityGroupEgress(
        network,
        "NodeToInternet",
        group_id=network.node_group.attr_group_id,
        ip_protocol="tcp",
        from_port=HTTPS,
        to_port=HTTPS,
        cidr_ip=ANYWHERE,
        description="HTTPS through the NAT gateway",
    )
