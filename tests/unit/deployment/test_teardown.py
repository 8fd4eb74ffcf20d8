"""Teardown: backwards, in the right order only, and saying what is in the way."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_cloud import FakeCdk, FakeCloud, FakeStack

from infra.deployment.board import Board
from infra.deployment.cdk import CdkRun
from infra.deployment.groups import chosen
from infra.deployment.teardown import NotDestroyed, Teardown, WrongOrder, refuse_wrong_order
from stacks.plan import DeploymentPlan


@pytest.fixture
def teardown(plan: DeploymentPlan, cloud: FakeCloud, cdk: FakeCdk, board: Board) -> Teardown:
    for stack in plan.stacks:
        cloud.stacks[stack.name] = FakeStack("CREATE_COMPLETE")
    return Teardown(plan, cloud, cdk, board, poll_seconds=0.01)


def test_links_go_first_then_the_sites_and_the_hub_last(teardown: Teardown, cloud: FakeCloud) -> None:
    teardown.run(teardown.plan.stacks)
    assert cloud.log[0] == "destroy HubLink-hospital-a HubLink-hospital-b HubNode"
    assert set(cloud.log[1:3]) == {
        "destroy SiteStorage-hospital-a SiteNetwork-hospital-a SiteNode-hospital-a",
        "destroy SiteStorage-hospital-b SiteNetwork-hospital-b SiteNode-hospital-b",
    }
    assert cloud.log[3:] == ["destroy HubStorage HubNetwork"]
    assert cloud.stacks == {}


def test_destroying_what_is_not_there_does_nothing(teardown: Teardown, cloud: FakeCloud) -> None:
    cloud.stacks.clear()
    teardown.run(teardown.plan.stacks)
    assert cloud.log == []


def test_what_a_failed_attempt_left_is_all_that_is_destroyed_the_next_time(
    teardown: Teardown, cloud: FakeCloud
) -> None:
    cloud.stacks = {"fed-HubStorage": FakeStack("DELETE_FAILED"), "fed-SiteNode-hospital-a": FakeStack("CREATE_FAILED")}
    teardown.run(teardown.plan.stacks)
    assert cloud.log == ["destroy SiteNode-hospital-a", "destroy HubStorage"]


def test_a_site_that_cannot_go_keeps_the_hub_and_no_other_site(
    teardown: Teardown, cloud: FakeCloud, cdk: FakeCdk
) -> None:
    cdk.fail["fed-SiteNetwork-hospital-a"] = "The subnet has dependencies."
    with pytest.raises(NotDestroyed) as failure:
        teardown.run(teardown.plan.stacks)
    assert "fed-SiteNetwork-hospital-a in account 111111111111" in str(failure.value)
    assert "The subnet has dependencies." in str(failure.value)
    assert "fed-SiteNode-hospital-b" not in cloud.stacks
    assert {"fed-HubStorage", "fed-HubNetwork"} <= set(cloud.stacks)


def test_a_site_whose_link_cannot_go_is_left_alone(teardown: Teardown, cloud: FakeCloud, cdk: FakeCdk) -> None:
    cdk.fail["fed-HubLink-hospital-a"] = "no"
    with pytest.raises(NotDestroyed):
        teardown.run(teardown.plan.stacks)
    assert "fed-SiteNetwork-hospital-a" in cloud.stacks
    assert "fed-SiteNetwork-hospital-b" not in cloud.stacks


def test_the_hub_is_not_deleted_while_a_site_is_connected(teardown: Teardown, cloud: FakeCloud) -> None:
    del cloud.stacks["fed-SiteNode-hospital-b"]
    with pytest.raises(WrongOrder, match="connected to it: hospital-a, hospital-b") as refusal:
        refuse_wrong_order(teardown.plan, chosen(teardown.plan, ["aggregator"]), cloud)
    assert "--only hospital-a --only hospital-b" in str(refusal.value)


def test_the_hub_may_go_once_the_sites_have_gone(teardown: Teardown, cloud: FakeCloud) -> None:
    for site in ("hospital-a", "hospital-b"):
        teardown.run(chosen(teardown.plan, [site]))
    refuse_wrong_order(teardown.plan, chosen(teardown.plan, ["aggregator"]), cloud)
    teardown.run(chosen(teardown.plan, ["aggregator"]))
    assert cloud.stacks == {}


def test_one_site_leaves_with_its_link_and_nothing_else_is_touched(teardown: Teardown, cloud: FakeCloud) -> None:
    teardown.run(chosen(teardown.plan, ["hospital-a"]))
    assert sorted(cloud.stacks) == [
        "fed-HubLink-hospital-b",
        "fed-HubNetwork",
        "fed-HubNode",
        "fed-HubStorage",
        "fed-SiteNetwork-hospital-b",
        "fed-SiteNode-hospital-b",
        "fed-SiteStorage-hospital-b",
    ]


def test_a_stack_that_could_not_even_be_begun_with_is_told_in_the_commands_words(
    teardown: Teardown, cdk: FakeCdk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "destroy.log"
    log.write_text(
        "❌  fed-HubNode: destroy failed Error: Stack [fed-HubNode] cannot be deleted while "
        "TerminationProtection is enabled\n",
        "utf-8",
    )
    monkeypatch.setattr(cdk, "destroy", lambda *_, **__: CdkRun(1, log))
    with pytest.raises(NotDestroyed) as failure:
        teardown.run([stack for stack in teardown.plan.stacks if stack.id in ("HubNode", "HubStorage")])
    said = str(failure.value)
    assert "was not deleted: fed-HubNode: destroy failed Error: Stack [fed-HubNode] cannot be deleted while" in said
    assert "Cause: The stack is protected against its deletion." in said
    assert "fed-HubStorage in account 333333333333 (us-east-1)" not in said
    assert said.endswith(
        "Still there, for the same command to delete:\n"
        "  fed-HubStorage in account 333333333333: CREATE_COMPLETE\n"
        "  fed-HubNode in account 333333333333: CREATE_COMPLETE"
    )
