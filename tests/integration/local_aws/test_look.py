"""One look at the accounts, as ``federate status`` takes it: ways both directions, and accounts that do not answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from emulated_accounts import EmulatedAccounts
from small_visit import federation, stack
from stack_templates import parameter, template, vpc
from stubbed_aws import FailingAccounts, refused, unreachable

from infra.deployment.look import Sight, look
from infra.nodes.remote import remotes


@dataclass
class Ground:
    """A hub and a site with their VPCs, the peering between them and a route each way."""

    hub: Any
    site: Any
    accounts: EmulatedAccounts
    peering: str

    def look(self, **site: Any) -> dict[str, Sight]:
        fed = federation(hub={"account": self.hub.id}, site={"account": self.site.id, **site})
        planned = (
            stack("HubNetwork", "aggregator", self.hub.id),
            stack("SiteNetwork-hospital-a", "hospital-a", self.site.id),
        )
        found = look(remotes(fed, self.accounts), planned, self.accounts, frozenset())
        return {sight.remote.node.id: sight for sight in found}


@pytest.fixture
def ground(new_account: Any, clients: Any) -> Ground:
    hub, site = new_account(), new_account()
    ids = {}
    for account, cidr in ((hub, "10.30.0.0/16"), (site, "10.10.0.0/16")):
        account.create("ground", template({"VpcId": {"Value": {"Ref": "Vpc"}}}, Vpc=vpc(cidr)))
        ids[account.id] = account.outputs("ground")["VpcId"]
    peering = site.client("ec2").create_vpc_peering_connection(
        VpcId=ids[site.id], PeerVpcId=ids[hub.id], PeerOwnerId=hub.id
    )["VpcPeeringConnection"]["VpcPeeringConnectionId"]
    hub.client("ec2").accept_vpc_peering_connection(VpcPeeringConnectionId=peering)
    for account, to in ((hub, "10.10.0.0/24"), (site, "10.30.0.0/24")):
        ec2 = account.client("ec2")
        filters = [{"Name": "vpc-id", "Values": [ids[account.id]]}]
        (table,) = ec2.describe_route_tables(Filters=filters)["RouteTables"]
        ec2.create_route(RouteTableId=table["RouteTableId"], DestinationCidrBlock=to, VpcPeeringConnectionId=peering)
    told = {"VpcId": {"Value": ids[hub.id]}}
    hub.create("fed-HubNetwork", template(told, Parameter=parameter("x")))
    told = {"VpcId": {"Value": ids[site.id]}, "PeeringId": {"Value": peering}}
    site.create("fed-SiteNetwork-hospital-a", template(told, Parameter=parameter("x")))
    return Ground(hub, site, EmulatedAccounts(clients, {"aggregator": hub.id, "hospital-a": site.id}), peering)


def test_a_way_with_peering_and_both_routes_is_open(ground: Ground) -> None:
    sight = ground.look()["hospital-a"]
    assert str(sight.way) == "open"
    assert sight.stacks == {"SiteNetwork-hospital-a": "CREATE_COMPLETE"}
    assert sight.troubles == ()


def test_a_peering_that_was_deleted_shows_with_its_black_holes(ground: Ground) -> None:
    ground.hub.client("ec2").delete_vpc_peering_connection(VpcPeeringConnectionId=ground.peering)
    way = ground.look()["hospital-a"].way
    assert str(way) == "peering deleted, route there blackhole, route back blackhole"


def test_a_route_that_is_missing_at_the_hub_is_the_way_back(ground: Ground) -> None:
    ec2 = ground.hub.client("ec2")
    for table in ec2.describe_route_tables()["RouteTables"]:
        if any(route.get("DestinationCidrBlock") == "10.10.0.0/24" for route in table["Routes"]):
            ec2.delete_route(RouteTableId=table["RouteTableId"], DestinationCidrBlock="10.10.0.0/24")
    assert str(ground.look()["hospital-a"].way) == "route back missing"


def test_an_account_that_may_not_be_asked_for_its_network_still_shows_its_stacks(ground: Ground) -> None:
    ground.accounts.failing["hospital-a ec2"] = FailingAccounts(refused)
    sight = ground.look()["hospital-a"]
    assert sight.stacks == {"SiteNetwork-hospital-a": "CREATE_COMPLETE"}
    assert (sight.way.state, sight.way.route, sight.way.back) == ("unknown", "unknown", "active")
    assert [trouble.exit_code for trouble in sight.troubles] == [4]


def test_an_account_that_does_not_answer_hides_no_other(ground: Ground) -> None:
    ground.accounts.failing["aggregator"] = FailingAccounts(unreachable)
    found = ground.look()
    assert found["aggregator"].stacks == {}
    assert [trouble.exit_code for trouble in found["aggregator"].troubles] == [4]
    assert found["hospital-a"].troubles == ()
    assert str(found["hospital-a"].way) == "route back unknown"


def test_a_profile_of_another_account_is_said_and_nothing_is_read_with_it(ground: Ground) -> None:
    ground.accounts.ids["hospital-a"] = ground.hub.id
    sight = ground.look()["hospital-a"]
    assert (sight.stacks, sight.way, sight.is_heard) == ({}, None, False)
    assert [trouble.exit_code for trouble in sight.troubles] == [3]


def test_a_site_that_its_own_admin_operates_is_seen_from_the_hub_alone(ground: Ground) -> None:
    ground.accounts.failing["operated-by-its-site"] = FailingAccounts(refused)
    sight = ground.look(operated_by="site")["hospital-a"]
    assert (sight.stacks, sight.troubles) == ({}, ())
    assert (sight.way.peering, sight.way.state, sight.way.route, sight.way.back) == (
        ground.peering,
        "active",
        "unknown",
        "active",
    )
