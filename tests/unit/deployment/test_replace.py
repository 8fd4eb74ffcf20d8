"""A node that is made anew: its machine ends first, its stack goes and comes again, and nothing else is touched."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fake_cloud import PINNED, FakeCdk, FakeCloud, FakeStack, federation, small_plan
from fake_parameters import FakeParameters

from infra.deployment import place
from infra.deployment.deploy import NotDeployed
from infra.deployment.instances import NoImage, NothingToReplace, outdated
from infra.deployment.teardown import Teardown
from infra.nodes import remote
from node_bootstrap import contract

OLD = "ami-0aaaaaaaaaaaaaaaa"
NODE = "fed-SiteNode-hospital-a"


class Accounts:
    """Stacks and parameters of all accounts."""

    def __init__(self, cloud: FakeCloud, store: FakeParameters) -> None:
        self._cloud, self._store = cloud, store

    def client(self, service: str, *, profile: str, region: str) -> Any:
        return (self._store if service == "ssm" else self._cloud).client(service, profile=profile, region=region)


@pytest.fixture
def store() -> FakeParameters:
    made = FakeParameters()
    made.says("hospital-a", "running")
    made.tell("hospital-a", contract.DESIRED, "{}")
    return made


@pytest.fixture
def at(
    cloud: FakeCloud, cdk: FakeCdk, store: FakeParameters, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> place.Place:
    """Everything is deployed, and hospital-a's instance is ``i-a``."""
    cloud.stacks.update({stack.name: FakeStack("CREATE_COMPLETE", image=OLD) for stack in small_plan().stacks})
    cloud.stacks["fed-HubNetwork"].outputs = {"VpcId": "vpc-1"}
    cloud.stacks[NODE].outputs = {"InstanceId": "i-a"}
    cloud.instances["i-a"] = ["running"]
    monkeypatch.setattr(place.Place, "prepare", lambda _: SimpleNamespace(plan=small_plan(), folder=tmp_path))
    monkeypatch.setattr(place.Place, "_cdk", lambda *_: cdk)
    monkeypatch.setattr(place, "orphans", lambda *_: ())
    quick: Callable[..., None] = remote.forget_states
    monkeypatch.setattr(place, "forget_states", lambda chosen: quick(chosen, quiet_seconds=0.01))
    monkeypatch.setattr(place, "Teardown", partial(Teardown, poll_seconds=0.01))
    return place.Place(tmp_path / "federation.yaml", federation(), tmp_path, Accounts(cloud, store))  # type: ignore[arg-type]


def test_the_machine_has_ended_before_its_stack_is_deleted_and_only_the_nodes_stack_is(
    at: place.Place, cloud: FakeCloud
) -> None:
    ended = []

    def during(title: str) -> None:
        ended.append((title, cloud.instances["i-a"]))

    at._cdk(None).during = during  # type: ignore[arg-type, attr-defined]
    at.replace(["hospital-a"])
    assert cloud.log == ["terminate i-a", "destroy SiteNode-hospital-a", "deploy SiteNode-hospital-a"]
    assert [state for _, state in ended] == [["terminated"], ["terminated"]]


def test_what_the_old_node_said_is_forgotten_and_what_is_wanted_stays(at: place.Place, store: FakeParameters) -> None:
    at.replace(["hospital-a"])
    assert store.told("hospital-a", contract.STATE) is None
    assert store.told("hospital-a", contract.DESIRED) == "{}"


def test_a_replacement_that_was_interrupted_goes_on_where_it_ended(at: place.Place, cloud: FakeCloud) -> None:
    del cloud.stacks[NODE]
    at.replace(["hospital-a"])
    assert cloud.log == ["deploy SiteNode-hospital-a"]


def test_a_node_that_was_never_deployed_is_not_replaced(at: place.Place, cloud: FakeCloud) -> None:
    del cloud.stacks["fed-SiteNetwork-hospital-a"]
    with pytest.raises(NothingToReplace, match="hospital-a: not deployed"):
        at.replace(["hospital-a"])
    assert cloud.log == []


def test_a_node_without_a_pinned_image_is_not_replaced(at: place.Place, cloud: FakeCloud) -> None:
    unpinned = place.Place(at.file, at.federation.model_copy(update={"images": {}}), at.home, at.accounts)
    with pytest.raises(NoImage, match=r"hospital-a.*\n.*federate image lock"):
        unpinned.replace(["hospital-a"])
    assert cloud.log == []


def test_what_is_deployed_is_deployed_again_without_a_pinned_image_and_what_is_new_is_refused(
    at: place.Place, cloud: FakeCloud
) -> None:
    unpinned = place.Place(at.file, at.federation.model_copy(update={"images": {}}), at.home, at.accounts)
    unpinned.deploy(["hospital-a"])
    del cloud.stacks[NODE]
    with pytest.raises(NoImage):
        unpinned.deploy(["hospital-a"])


def test_a_node_of_another_image_than_the_pinned_one_is_named_with_the_command(
    at: place.Place, cloud: FakeCloud
) -> None:
    cloud.stacks["fed-SiteNode-hospital-b"].image = PINNED
    sites = [stack for stack in small_plan().stacks if stack.node != "aggregator"]
    (found,) = outdated(federation(), sites, at.accounts)
    assert (found.node, found.deployed, found.pinned) == ("hospital-a", OLD, PINNED)
    assert str(found).endswith("federate replace hospital-a makes it anew.")


def test_a_deployment_leaves_the_machine_alone(at: place.Place, cloud: FakeCloud) -> None:
    at.deploy(["hospital-a"])
    assert not [line for line in cloud.log if line.startswith(("terminate", "destroy"))]
    assert cloud.instances["i-a"] == ["running"]


def test_a_node_that_cannot_be_made_again_does_not_keep_the_other_from_being_made(
    at: place.Place, cdk: FakeCdk
) -> None:
    cdk.during = lambda title: cdk.fail.update({NODE: "no capacity"} if "deploy" in cdk.cloud.log[-1] else {})
    with pytest.raises(NotDeployed, match="no capacity") as caught:
        at.replace(["hospital-a", "hospital-b"])
    assert len(caught.value.failures) == 1
