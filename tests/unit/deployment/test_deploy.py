"""Deployment: the order of the phases, the wires between accounts, and going on after whatever happened."""

from __future__ import annotations

import io
import os
import signal
import threading

import pytest
from fake_cloud import FakeCdk, FakeCloud, FakeStack

from infra.deployment.board import Board
from infra.deployment.deploy import Deployment, NotDeployed
from infra.deployment.groups import UnknownNode, chosen
from stacks.plan import DeploymentPlan


@pytest.fixture
def deployment(plan: DeploymentPlan, cloud: FakeCloud, cdk: FakeCdk, board: Board) -> Deployment:
    return Deployment(plan, cloud, cdk, board, poll_seconds=0.01)


def test_the_hub_comes_first_then_the_sites_and_the_links_last(deployment: Deployment, cloud: FakeCloud) -> None:
    deployment.run(deployment.plan.stacks)
    assert cloud.log[0] == "deploy HubStorage HubNetwork"
    assert set(cloud.log[1:3]) == {
        "deploy SiteStorage-hospital-a SiteNetwork-hospital-a SiteNode-hospital-a",
        "deploy SiteStorage-hospital-b SiteNetwork-hospital-b SiteNode-hospital-b",
    }
    assert cloud.log[3:] == ["deploy HubLink-hospital-a HubLink-hospital-b HubNode"]


def test_sites_are_deployed_at_the_same_time(deployment: Deployment, cdk: FakeCdk) -> None:
    both = threading.Barrier(2, timeout=30)
    cdk.during = lambda title: both.wait() and None if title.startswith("sites") else None
    deployment.run(deployment.plan.stacks)  # a barrier that one alone waits at breaks


def test_what_one_account_makes_reaches_the_account_that_needs_it(deployment: Deployment, cdk: FakeCdk) -> None:
    deployment.run(deployment.plan.stacks)
    assert cdk.parameters == {
        "fed-HubNetwork:S3PrefixListId": "pl-63a5400a",
        "fed-SiteNetwork-hospital-a:HubVpcId": "vpc-HubNetwork",
        "fed-SiteNetwork-hospital-b:HubVpcId": "vpc-HubNetwork",
        "fed-HubLink-hospital-a:PeeringId": "pcx-SiteNetwork-hospital-a",
        "fed-HubLink-hospital-b:PeeringId": "pcx-SiteNetwork-hospital-b",
    }


def test_a_site_that_fails_stops_no_other_and_is_not_linked(
    deployment: Deployment, cloud: FakeCloud, cdk: FakeCdk
) -> None:
    cdk.fail["fed-SiteNetwork-hospital-a"] = "The maximum number of VPCs has been reached."
    with pytest.raises(NotDeployed) as failure:
        deployment.run(deployment.plan.stacks)
    said = str(failure.value)
    assert "fed-SiteNetwork-hospital-a in account 111111111111" in said
    assert "Thing (AWS::A::Thing): The maximum number of VPCs has been reached." in said
    assert "sites-hospital-a.log" in said
    assert "run the same command again" in said
    assert "Cause: The account has as many VPCs in this Region as its quota allows" in said
    assert "hospital-b" not in said
    assert cloud.log[-1] == "deploy HubLink-hospital-b HubNode"
    assert cloud.statuses()["fed-SiteNode-hospital-b"] == "CREATE_COMPLETE"


def test_what_is_half_made_is_named_with_what_the_same_command_does_next(deployment: Deployment, cdk: FakeCdk) -> None:
    cdk.fail["fed-SiteNetwork-hospital-a"] = "no"
    with pytest.raises(NotDeployed) as failure:
        deployment.run(deployment.plan.stacks)
    left = str(failure.value).partition("Unfinished:\n")[2].splitlines()
    where = "in account 111111111111"
    assert left == [
        f"  fed-SiteNetwork-hospital-a {where}: ROLLBACK_COMPLETE; the same command deletes it and makes it anew.",
        f"  fed-SiteNode-hospital-a {where}: not made yet; the same command makes it.",
        "  fed-HubLink-hospital-a in account 333333333333: not made yet; the same command makes it.",
        "All other stacks are in order.",
    ]


def test_nothing_is_begun_at_the_sites_if_the_hub_fails(deployment: Deployment, cloud: FakeCloud, cdk: FakeCdk) -> None:
    cdk.fail["fed-HubStorage"] = "no"
    with pytest.raises(NotDeployed):
        deployment.run(deployment.plan.stacks)
    assert cloud.log == ["deploy HubStorage HubNetwork"]


@pytest.mark.parametrize("status", ["ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "REVIEW_IN_PROGRESS"])
def test_a_creation_that_failed_before_is_deleted_first(
    deployment: Deployment, cloud: FakeCloud, shown: io.StringIO, status: str
) -> None:
    cloud.stacks["fed-HubNetwork"] = FakeStack(status)
    deployment.run(deployment.plan.stacks)
    assert cloud.log[:2] == ["delete fed-HubNetwork", "deploy HubStorage HubNetwork"]
    assert f"fed-HubNetwork is {status} from an earlier attempt" in shown.getvalue()
    assert set(cloud.statuses().values()) == {"CREATE_COMPLETE"}


def test_a_stack_that_still_works_is_waited_for(deployment: Deployment, cloud: FakeCloud) -> None:
    still = ["CREATE_IN_PROGRESS", "CREATE_IN_PROGRESS", "CREATE_COMPLETE"]
    cloud.stacks["fed-HubStorage"] = FakeStack("CREATE_IN_PROGRESS", then=still)
    deployment.run(deployment.plan.stacks)
    assert cloud.log[0] == "deploy HubStorage HubNetwork"
    assert cloud.stacks["fed-HubStorage"].then == []


def test_a_stack_that_ends_in_a_rollback_while_it_is_waited_for_is_deleted(
    deployment: Deployment, cloud: FakeCloud
) -> None:
    rolled_back = ["ROLLBACK_IN_PROGRESS", "ROLLBACK_COMPLETE"]
    cloud.stacks["fed-HubStorage"] = FakeStack("CREATE_IN_PROGRESS", then=rolled_back)
    deployment.run(deployment.plan.stacks)
    assert cloud.log[:2] == ["delete fed-HubStorage", "deploy HubStorage HubNetwork"]


def test_a_stack_that_only_a_person_can_free_is_named_with_the_command_for_it(
    deployment: Deployment, cloud: FakeCloud
) -> None:
    cloud.stacks["fed-SiteNode-hospital-b"] = FakeStack("UPDATE_ROLLBACK_FAILED", reason="The role is gone.")
    with pytest.raises(NotDeployed) as failure:
        deployment.run(deployment.plan.stacks)
    said = str(failure.value)
    assert "is UPDATE_ROLLBACK_FAILED: Thing (AWS::A::Thing): The role is gone." in said
    command = "continue-update-rollback --stack-name fed-SiteNode-hospital-b --region us-east-1 --profile hospital-b"
    assert command in said
    assert cloud.statuses()["fed-SiteNode-hospital-a"] == "CREATE_COMPLETE"


def test_a_stack_that_cannot_even_be_deleted_is_named(deployment: Deployment, cloud: FakeCloud) -> None:
    stays = ["ROLLBACK_COMPLETE", "DELETE_IN_PROGRESS", "DELETE_FAILED"]
    cloud.stacks["fed-HubNetwork"] = FakeStack("ROLLBACK_COMPLETE", then=stays, reason="It is in use.")
    cloud.stacks["fed-HubNetwork"].then = ["ROLLBACK_COMPLETE", "ROLLBACK_COMPLETE", *stays[1:]]
    with pytest.raises(NotDeployed, match=r"cannot be deleted: Thing \(AWS::A::Thing\): It is in use\."):
        deployment.run(deployment.plan.stacks)
    assert cloud.log == ["delete fed-HubNetwork"]


def test_one_site_alone_is_deployed_with_its_link(deployment: Deployment, cloud: FakeCloud) -> None:
    deployment.run(chosen(deployment.plan, ["aggregator"]))
    cloud.log.clear()
    deployment.run(chosen(deployment.plan, ["hospital-a"]))
    assert cloud.log == [
        "deploy SiteStorage-hospital-a SiteNetwork-hospital-a SiteNode-hospital-a",
        "deploy HubLink-hospital-a",
    ]


def test_a_site_before_its_hub_is_told_what_it_needs(deployment: Deployment, cloud: FakeCloud) -> None:
    with pytest.raises(NotDeployed, match=r"needs the output VpcId of fed-HubNetwork.*\n.*deploy --only aggregator"):
        deployment.run(chosen(deployment.plan, ["hospital-a"]))
    assert cloud.log == []


def test_a_node_that_does_not_exist_is_refused_with_those_that_do(plan: DeploymentPlan) -> None:
    with pytest.raises(UnknownNode, match="There are aggregator, hospital-a, hospital-b"):
        chosen(plan, ["hospital-c"])


def test_ctrl_c_ends_the_command_and_what_waits_and_starts_nothing_more(
    deployment: Deployment, cloud: FakeCloud, cdk: FakeCdk
) -> None:
    endless = ["CREATE_IN_PROGRESS"] * 10_000
    cloud.stacks["fed-SiteNode-hospital-b"] = FakeStack("CREATE_IN_PROGRESS", then=endless)

    def press(title: str) -> None:
        if title == "sites-hospital-a":
            os.kill(os.getpid(), signal.SIGINT)
            assert cdk.interrupted.wait(30)

    cdk.during = press
    with pytest.raises(KeyboardInterrupt):
        deployment.run(deployment.plan.stacks)
    assert cdk.interrupted.is_set()
    assert [line for line in cloud.log if "Link" in line or "hospital-b" in line] == []
