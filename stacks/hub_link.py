"""What the hub gives one site: the way back to it, and admission on the FL port."""

from __future__ import annotations

from aws_cdk import aws_ec2 as ec2
from constructs import Construct

from infra.federation.derive import Node
from infra.federation.model import Federation
from stacks.base import FederateStack
from stacks.hub_network import HubNetwork
from stacks.plan import FromOutput


class HubLink(FederateStack):
    """``HubLink-<id>``: one stack per site, so that sites come and go without touching each other.

    Args:
        home: the aggregator's node.
        site: the site that is linked.
        site_network: id of the site's network stack, where the parameters come from.
        hub_network: the hub's network.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        federation: Federation,
        home: Node,
        site: Node,
        site_network: str,
        hub_network: HubNetwork,
    ) -> None:
        super().__init__(
            scope,
            id_,
            federation=federation,
            home=home,
            phase="links",
            description=f"Federate {federation.name}: the hub's return route to {site.id} and its admission",
        )
        ec2.CfnRoute(
            self,
            "ReturnRoute",
            route_table_id=hub_network.network.route_table.ref,
            destination_cidr_block=str(site.subnet),
            vpc_peering_connection_id=self.ask(
                "PeeringId",
                source=FromOutput(stack=site_network, output="PeeringId"),
                pattern="^pcx-[0-9a-f]{8,17}$",
                description="The peering that the site requested: output PeeringId of the site's network stack",
            ),
        )
        port = federation.aggregator.port
        hub_group = hub_network.network.node_group.attr_group_id
        description = f"FL port for {site.id}"
        if site.region == home.region:
            ec2.CfnSecurityGroupIngress(
                self,
                "Admission",
                group_id=hub_group,
                ip_protocol="tcp",
                from_port=port,
                to_port=port,
                source_security_group_id=self.ask(
                    "SiteSecurityGroupId",
                    source=FromOutput(stack=site_network, output="NodeSecurityGroupId"),
                    pattern="^sg-[0-9a-f]{8,17}$",
                    description="The site's security group: output NodeSecurityGroupId of the site's network stack",
                ),
                source_security_group_owner_id=site.account,
                description=description,
            )
        else:
            # A group of another Region cannot be named in a rule.
            ec2.CfnSecurityGroupIngress(
                self,
                "Admission",
                group_id=hub_group,
                ip_protocol="tcp",
                from_port=port,
                to_port=port,
                cidr_ip=f"{site.address}/32",
                description=description,
            )
