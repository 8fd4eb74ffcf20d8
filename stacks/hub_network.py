"""The aggregator's network, and one role per site that can do nothing but accept that site's peering."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import aws_iam as iam
from constructs import Construct

from infra.federation.derive import Node, accept_role_name
from infra.federation.model import Federation
from stacks.base import FederateStack
from stacks.permissions import allow, policy
from stacks.private_network import PrivateNetwork
from stacks.storage import Storage


class HubNetwork(FederateStack):
    """The hub's VPC. What a site needs of it is one identifier, ``VpcId``.

    What belongs to one site (its return route, its admission on the FL port) is in that site's ``HubLink-<id>``.
    """

    def __init__(
        self, scope: Construct, id_: str, *, federation: Federation, home: Node, sites: Sequence[Node], storage: Storage
    ) -> None:
        super().__init__(
            scope,
            id_,
            federation=federation,
            home=home,
            phase="hub",
            description=f"Federate {federation.name}: the aggregator's private network",
        )
        # The id "Default" leaves no trace in logical ids: the network's resources are the stack's.
        self.network = PrivateNetwork(
            self,
            "Default",
            node=home,
            bucket_arn=storage.bucket.attr_arn,
            s3_prefix_list=self.ask_s3_prefix_list(),
        )
        accept = Construct(self, "Accept")
        for site in sorted(sites, key=lambda site: site.id):
            # A peering within one account is accepted by CloudFormation without a role.
            if site.account != home.account:
                self._accept_role(accept, federation, home, site)
        self.tell("VpcId", self.network.vpc.ref, description="Hand over to every site: parameter HubVpcId")
        self.tell(
            "NodeSecurityGroupId", self.network.node_group.attr_group_id, description="The aggregator's security group"
        )
        self.tell("NodeInterfaceId", self.network.node_interface.ref, description="The aggregator's fixed address")
        self.tell(
            "ConnectEndpointId",
            self.network.connect_endpoint.ref,
            description="The EC2 Instance Connect Endpoint: an operator's way to the node's SSH",
        )

    def _accept_role(self, scope: Construct, federation: Federation, home: Node, site: Node) -> None:
        """Let the site's CloudFormation accept a peering of the site's account into this VPC, and nothing else.

        AcceptVpcPeeringConnection is authorised on the accepter's VPC and on the connection; the connection knows both
        ends (``ec2:AccepterVpc``, ``ec2:RequesterVpc``), the VPC only itself.

        Source: Amazon VPC Peering Guide, "Identity and access management for VPC peering".
        """
        here = f"arn:aws:ec2:{home.region}:{home.account}"
        hub_vpc = f"{here}:vpc/{self.network.vpc.ref}"
        iam.CfnRole(
            scope,
            site.id,
            role_name=accept_role_name(federation, site.id),
            description=f"Accepts the peering that {site.id} ({site.account}) requests",
            assume_role_policy_document=policy(
                {
                    "Effect": "Allow",
                    "Principal": {"AWS": f"arn:aws:iam::{site.account}:root"},
                    "Action": "sts:AssumeRole",
                }
            ),
            policies=[
                iam.CfnRole.PolicyProperty(
                    policy_name="accept",
                    policy_document=policy(
                        allow("IntoTheHubsVpc", ["ec2:AcceptVpcPeeringConnection"], [hub_vpc]),
                        allow(
                            "FromTheSitesAccount",
                            ["ec2:AcceptVpcPeeringConnection"],
                            [f"{here}:vpc-peering-connection/*"],
                            {
                                "ArnEquals": {"ec2:AccepterVpc": hub_vpc},
                                "ArnLike": {"ec2:RequesterVpc": f"arn:aws:ec2:{site.region}:{site.account}:vpc/*"},
                            },
                        ),
                    ),
                )
            ],
        )
