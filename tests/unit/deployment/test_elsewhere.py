"""A site that its own admin operates: its account is never asked, and its link is the hub's once it has joined."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fake_cloud import FakeCdk, FakeCloud, FakeStack, federation

from infra.accounts import WrongCredentials
from infra.deployment import place
from infra.deployment.assembly import Assembly
from infra.deployment.board import Board
from infra.deployment.condition import StackFailed
from infra.deployment.deploy import Deployment
from infra.deployment.elsewhere import delete_peerings, in_words, ours, sites_elsewhere, without_unjoined
from infra.deployment.groups import chosen
from infra.deployment.parameters import resolve
from infra.deployment.teardown import WrongOrder, refuse_wrong_order
from infra.federation.model import NO_PROFILE
from stacks.plan import DeploymentPlan

SITE = "hospital-b"
LINK = f"fed-HubLink-{SITE}"
VPC = "vpc-0aaaaaaaa"


class OwnAccounts(FakeCloud):
    """The coordinator's accounts; asking another one is what a test must notice."""

    def client(self, service: str, *, profile: str, region: str) -> Any:
        assert profile != NO_PROFILE, f"{service} of an account that is operated elsewhere was asked"
        return super().client(service, profile=profile, region=region)


@pytest.fixture
def cloud() -> FakeCloud:
    return OwnAccounts()


@pytest.fixture
def plan(plan: DeploymentPlan) -> DeploymentPlan:
    """The small plan, with hospital-b operated by its own admin."""
    return replace(
        plan,
        stacks=tuple(replace(one, profile=NO_PROFILE) if one.node == SITE else one for one in plan.stacks),
    )


def hub_is_deployed(cloud: FakeCloud) -> None:
    cloud.stacks["fed-HubNetwork"] = FakeStack("CREATE_COMPLETE", {"VpcId": VPC})


def test_its_stacks_are_not_ours_and_its_link_is(plan: DeploymentPlan) -> None:
    assert sites_elsewhere(plan) == (SITE,)
    left = {stack.id for stack in plan.stacks} - {stack.id for stack in ours(plan.stacks)}
    assert left == {f"Site{part}-{SITE}" for part in ("Storage", "Network", "Node")}


def test_a_deployment_leaves_out_the_link_of_a_site_that_has_not_joined(
    plan: DeploymentPlan, cloud: FakeCloud, cdk: FakeCdk, board: Board
) -> None:
    stacks, unjoined = without_unjoined(plan, ours(plan.stacks), cloud)
    assert unjoined == (SITE,)
    Deployment(plan, cloud, cdk, board, poll_seconds=0.01).run(stacks)
    assert not any(SITE in line for line in cloud.log)
    assert any("HubLink-hospital-a" in line for line in cloud.log)
    assert f"federate export {SITE}" in in_words((), unjoined)


def test_a_link_is_deployed_with_what_was_handed_over(
    plan: DeploymentPlan, cloud: FakeCloud, cdk: FakeCdk, board: Board
) -> None:
    (link,) = (one for one in plan.stacks if one.name == LINK)
    given = {f"{LINK}:PeeringId": "pcx-0bbbbbbbb"}
    Deployment(plan, cloud, cdk, board, poll_seconds=0.01, given=given).run([link])
    assert cdk.parameters == given
    assert cloud.stacks[LINK].status == "CREATE_COMPLETE"


def test_a_site_that_has_joined_keeps_its_link_with_the_values_that_it_has(
    plan: DeploymentPlan, cloud: FakeCloud
) -> None:
    cloud.stacks[LINK] = FakeStack("CREATE_COMPLETE", parameters={"PeeringId": "pcx-0bbbbbbbb"})
    stacks, unjoined = without_unjoined(plan, chosen(plan, [SITE]), cloud)
    assert unjoined == ()
    links = [stack for stack in stacks if stack.name == LINK]
    assert resolve(plan, links, cloud) == {f"{LINK}:PeeringId": "pcx-0bbbbbbbb"}


def test_a_link_without_values_says_how_it_gets_them(plan: DeploymentPlan, cloud: FakeCloud) -> None:
    (link,) = (one for one in plan.stacks if one.name == LINK)
    with pytest.raises(StackFailed, match=rf"needs PeeringId of {SITE}(.|\n)*federate join FILE"):
        resolve(plan, [link], cloud)


def test_the_hub_stays_while_such_a_site_is_linked(plan: DeploymentPlan, cloud: FakeCloud) -> None:
    hub = chosen(plan, ["aggregator"])
    refuse_wrong_order(plan, hub, cloud)
    cloud.stacks[LINK] = FakeStack("CREATE_COMPLETE")
    with pytest.raises(WrongOrder, match=SITE):
        refuse_wrong_order(plan, hub, cloud)


def test_before_the_hub_goes_the_peerings_of_such_sites_are_ended_and_no_others(
    plan: DeploymentPlan, cloud: FakeCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub_is_deployed(cloud)

    def peering(id_: str, owner: str, *, vpc: str = VPC, status: str = "active") -> dict[str, Any]:
        return {
            "VpcPeeringConnectionId": id_,
            "AccepterVpcInfo": {"VpcId": vpc},
            "RequesterVpcInfo": {"OwnerId": owner},
            "Status": {"Code": status},
        }

    found = [
        peering("pcx-b", "222222222222"),
        peering("pcx-a", "111111111111"),  # a site that is operated here ends its own
        peering("pcx-gone", "222222222222", status="deleted"),
        peering("pcx-elsewhere", "222222222222", vpc="vpc-0ccccccc"),
    ]
    deleted: list[str] = []

    class Ec2:
        def describe_vpc_peering_connections(self, **_: Any) -> Any:
            return {"VpcPeeringConnections": found}

        def delete_vpc_peering_connection(self, *, VpcPeeringConnectionId: str) -> None:  # noqa: N803
            deleted.append(VpcPeeringConnectionId)

    stacks = cloud.client

    def client(service: str, *, profile: str, region: str) -> Any:
        return Ec2() if service == "ec2" else stacks(service, profile=profile, region=region)

    monkeypatch.setattr(cloud, "client", client)
    assert delete_peerings(plan, cloud) == ("222222222222",)
    assert deleted == ["pcx-b"]


def test_a_site_is_linked_with_the_hub_s_credentials_alone(
    plan: DeploymentPlan, cloud: FakeCloud, cdk: FakeCdk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assembly = Assembly(tmp_path, plan)
    monkeypatch.setattr(place, "synthesize", lambda *_, **__: assembly)
    monkeypatch.setattr(place.Place, "_cdk", lambda *_: cdk)
    cloud.identities["hospital-a"] = "ExpiredToken"
    here = place.Place(tmp_path / "federation.yaml", federation(), tmp_path, cloud)
    assert here.link(SITE, {"PeeringId": "pcx-0bbbbbbbb"}).name == LINK
    assert cloud.stacks[LINK].status == "CREATE_COMPLETE"
    cloud.identities["aggregator"] = "ExpiredToken"
    with pytest.raises(WrongCredentials, match="profile aggregator"):
        here.link(SITE, {"PeeringId": "pcx-0bbbbbbbb"})
