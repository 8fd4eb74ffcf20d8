"""A VPC without a way in or out: one private subnet, the node's fixed address, and the endpoints of its own account."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import aws_ec2 as ec2
from constructs import Construct

from infra.federation.derive import Node
from stacks.endpoints import HTTPS, add_connect_endpoint, add_service_endpoints
from stacks.flow_log import add_flow_log
from stacks.internet import add_nat


class PrivateNetwork(Construct):
    """The network that the hub and every site have alike.

    No internet gateway, no NAT and no public address, unless the account asks for a NAT gateway. Security groups are
    stateful: replies need no rule. Nothing is ever put into the VPC's default security group, which the deployment
    empties, since CloudFormation can do it only through a custom resource.

    Args:
        scope: the network stack.
        id_: construct id.
        node: whose network it is.
        bucket_arn: the only bucket that the S3 endpoint lets through.
        s3_prefix_list: id of S3's managed prefix list in the Region.
        egress: what the node may reach besides its account's own services.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        node: Node,
        bucket_arn: str,
        s3_prefix_list: str,
        egress: Sequence[ec2.CfnSecurityGroup.EgressProperty] = (),
    ) -> None:
        super().__init__(scope, id_)
        self.vpc = ec2.CfnVPC(
            self,
            "Vpc",
            cidr_block=str(node.spec.cidr),
            # Both are needed for the endpoints' private names.
            enable_dns_support=True,
            enable_dns_hostnames=True,
        )
        self.subnet = ec2.CfnSubnet(
            self,
            "Subnet",
            vpc_id=self.vpc.ref,
            cidr_block=str(node.subnet),
            availability_zone=node.availability_zone,
            map_public_ip_on_launch=False,
        )
        self.route_table = ec2.CfnRouteTable(self, "RouteTable", vpc_id=self.vpc.ref)
        ec2.CfnSubnetRouteTableAssociation(
            self, "SubnetRoutes", subnet_id=self.subnet.ref, route_table_id=self.route_table.ref
        )
        self.node_group = self._node_group(node, s3_prefix_list, egress)
        self.node_interface = ec2.CfnNetworkInterface(
            self,
            "NodeInterface",
            subnet_id=self.subnet.ref,
            private_ip_address=str(node.address),
            group_set=[self.node_group.attr_group_id],
            description=f"The fixed address of {node.id}; the node comes and goes, the address stays",
        )
        add_service_endpoints(self, node, bucket_arn=bucket_arn)
        self.connect_endpoint = add_connect_endpoint(self, node)
        add_flow_log(self, node)
        if node.spec.internet == "nat":
            add_nat(self, node)

    def _node_group(
        self, node: Node, s3_prefix_list: str, egress: Sequence[ec2.CfnSecurityGroup.EgressProperty]
    ) -> ec2.CfnSecurityGroup:
        return ec2.CfnSecurityGroup(
            self,
            "NodeSecurityGroup",
            vpc_id=self.vpc.ref,
            group_description=f"The node of {node.id}",
            # Rules given here replace the rule to anywhere that a new group has.
            security_group_egress=[
                *egress,
                ec2.CfnSecurityGroup.EgressProperty(
                    ip_protocol="tcp",
                    from_port=HTTPS,
                    to_port=HTTPS,
                    destination_prefix_list_id=s3_prefix_list,
                    description="S3 through the gateway endpoint",
                ),
            ],
        )
