"""A hospital's network: its VPC, its peering request to the hub, and the route and rule that lead to the aggregator."""

from __future__ import annotations

from aws_cdk import aws_ec2 as ec2
from constructs import Construct

from infra.federation.derive import Node, accept_role_name
from infra.federation.model import Federation
from stacks.base import FederateStack
from stacks.plan import FromOutput
from stacks.private_network import PrivateNetwork
from stacks.storage import Storage


class SiteNetwork(FederateStack):
    """``SiteNetwork-<id>``: from here the node reaches the aggregator's FL port, and nobody reaches the node.

    Args:
        home: the site's node.
        hub: the aggregator's node.
        hub_network: id of the hub's network stack, where the parameter ``HubVpcId`` comes from.
        storage: the site's own storage.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        federation: Federation,
        home: Node,
        hub: Node,
        hub_network: str,
        storage: Storage,
    ) -> None:
        super().__init__(
            scope,
            id_,
            federation=federation,
            home=home,
            phase="sites",
            description=f"Federate {federation.name}: the private network of {home.id} and its way to the aggregator",
        )
        port = federation.aggregator.port
        # The id "Default" leaves no trace in logical ids: the network's resources are the stack's.
        self.network = PrivateNetwork(
            self,
            "Default",
            node=home,
            bucket_arn=storage.bucket.attr_arn,
            s3_prefix_list=self.ask_s3_prefix_list(),
            egress=[
                # By address: an egress rule cannot name a group of another account.
                ec2.CfnSecurityGroup.EgressProperty(
                    ip_protocol="tcp",
                    from_port=port,
                    to_port=port,
                    cidr_ip=f"{hub.address}/32",
                    description="FL port of the aggregator",
                )
            ],
        )
        peering = self._peering(federation, home, hub, hub_network)
        ec2.CfnRoute(
            self,
            "RouteToHub",
            route_table_id=self.network.route_table.ref,
            destination_cidr_block=str(hub.subnet),
            vpc_peering_connection_id=peering.ref,
        )
        self.tell("VpcId", self.network.vpc.ref, description="The site's VPC")
        self.tell("PeeringId", peering.ref, description="Hand over to the hub: parameter PeeringId")
        self.tell(
            "NodeSecurityGroupId",
            self.network.node_group.attr_group_id,
            description="Hand over to the hub: parameter SiteSecurityGroupId",
        )
        self.tell("NodeInterfaceId", self.network.node_interface.ref, description="The node's fixed address")
        self.tell(
            "ConnectEndpointId",
            self.network.connect_endpoint.ref,
            description="The EC2 Instance Connect Endpoint: an operator's way to the node's SSH",
        )

    def _peering(self, federation: Federation, home: Node, hub: Node, hub_network: str) -> ec2.CfnVPCPeeringConnection:
        other_account = hub.account != home.account
        return ec2.CfnVPCPeeringConnection(
            self,
            "Peering",
            vpc_id=self.network.vpc.ref,
            peer_vpc_id=self.ask(
                "HubVpcId",
                source=FromOutput(stack=hub_network, output="VpcId"),
                pattern="^vpc-[0-9a-f]{8,17}$",
                description="The hub's VPC: output VpcId of the hub's network stack",
            ),
            peer_owner_id=hub.account,
            peer_region=hub.region if hub.region != home.region else None,
            peer_role_arn=f"arn:aws:iam::{hub.account}:role/{accept_role_name(federation, home.id)}"
            if other_account
            else None,
        )
