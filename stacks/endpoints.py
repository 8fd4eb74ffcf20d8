"""The endpoints of a private network: by which the node reaches its account's services, and operators reach the node.

What is made here is made right in the network's own scope: its logical ids are the stack's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import aws_ec2 as ec2

from infra.federation.derive import Node
from stacks.permissions import Service, node_permissions, only_through

if TYPE_CHECKING:
    from stacks.private_network import PrivateNetwork

HTTPS = 443
SSH = 22
#: Services that the node reaches over an interface endpoint. S3 goes through a gateway endpoint.
INTERFACE_SERVICES: tuple[Service, ...] = ("ssm", "ssmmessages", "logs", "secretsmanager")


def add_service_endpoints(network: PrivateNetwork, node: Node, *, bucket_arn: str) -> None:
    """Let the node reach its own account's services, each as far as its role goes.

    Args:
        network: the network, with its node's group.
        node: whose network it is.
        bucket_arn: the only bucket that the S3 endpoint lets through.
    """
    permissions = node_permissions(node, bucket_arn)
    group = ec2.CfnSecurityGroup(
        network,
        "EndpointSecurityGroup",
        vpc_id=network.vpc.ref,
        group_description=f"The endpoints of {node.id}",
        security_group_ingress=[
            ec2.CfnSecurityGroup.IngressProperty(
                ip_protocol="tcp",
                from_port=HTTPS,
                to_port=HTTPS,
                source_security_group_id=network.node_group.attr_group_id,
                description="The node",
            )
        ],
        # An endpoint never dials. A group without an egress rule gets one to anywhere; this one leads nowhere.
        security_group_egress=[
            ec2.CfnSecurityGroup.EgressProperty(ip_protocol="-1", cidr_ip="127.0.0.1/32", description="Nowhere")
        ],
    )
    ec2.CfnSecurityGroupEgress(
        network,
        "NodeToEndpoints",
        group_id=network.node_group.attr_group_id,
        ip_protocol="tcp",
        from_port=HTTPS,
        to_port=HTTPS,
        destination_security_group_id=group.attr_group_id,
        description="Own VPC endpoints",
    )
    ec2.CfnVPCEndpoint(
        network,
        "S3Endpoint",
        vpc_id=network.vpc.ref,
        vpc_endpoint_type="Gateway",
        service_name=f"com.amazonaws.{node.region}.s3",
        route_table_ids=[network.route_table.ref],
        policy_document=only_through(node, permissions["s3"]),
    )
    for service in INTERFACE_SERVICES:
        ec2.CfnVPCEndpoint(
            network,
            f"{service.capitalize()}Endpoint",
            vpc_id=network.vpc.ref,
            vpc_endpoint_type="Interface",
            service_name=f"com.amazonaws.{node.region}.{service}",
            subnet_ids=[network.subnet.ref],
            security_group_ids=[group.attr_group_id],
            private_dns_enabled=True,
            policy_document=only_through(node, permissions[service]),
        )


def add_connect_endpoint(network: PrivateNetwork, node: Node) -> ec2.CfnInstanceConnectEndpoint:
    """Let an operator of the node's own account reach the node's SSH, and make that the only way to it.

    The endpoint's own address is what the node sees (``preserveClientIp`` is off), so that the node needs to admit the
    endpoint's group alone. Who may open a tunnel is IAM's to say: ``ec2-instance-connect:OpenTunnel``.
    """
    group = ec2.CfnSecurityGroup(
        network,
        "ConnectSecurityGroup",
        vpc_id=network.vpc.ref,
        group_description=f"The EC2 Instance Connect Endpoint of {node.id}",
        # Given here, it replaces the rule to anywhere that a new group has.
        security_group_egress=[
            ec2.CfnSecurityGroup.EgressProperty(
                ip_protocol="tcp",
                from_port=SSH,
                to_port=SSH,
                destination_security_group_id=network.node_group.attr_group_id,
                description="SSH of the node",
            )
        ],
    )
    # A rule of its own: two groups that name each other in their own rules could not be made at all.
    ec2.CfnSecurityGroupIngress(
        network,
        "ConnectToNode",
        group_id=network.node_group.attr_group_id,
        ip_protocol="tcp",
        from_port=SSH,
        to_port=SSH,
        source_security_group_id=group.attr_group_id,
        description="SSH from the EC2 Instance Connect Endpoint",
    )
    return ec2.CfnInstanceConnectEndpoint(
        network,
        "ConnectEndpoint",
        subnet_id=network.subnet.ref,
        security_group_ids=[group.attr_group_id],
        preserve_client_ip=False,
    )
