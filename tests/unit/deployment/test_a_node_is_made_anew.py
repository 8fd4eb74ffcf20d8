"""A node that is made anew is not taken for the one before: what that one said last is forgotten first."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fake_cloud import FakeCdk, FakeCloud, FakeStack, federation, small_plan
from fake_parameters import FakeParameters

from infra.deployment import place
from node_bootstrap import contract


class Accounts:
    """Stacks and parameters of all accounts."""

    def __init__(self, cloud: FakeCloud, store: FakeParameters) -> None:
        self._cloud, self._store = cloud, store

    def client(self, service: str, *, profile: str, region: str) -> Any:
        return (self._store if service == "ssm" else self._cloud).client(service, profile=profile, region=region)


def deploy(
    cloud: FakeCloud, cdk: FakeCdk, store: FakeParameters, folder: Path, patch: pytest.MonkeyPatch, gone: list[str]
) -> None:
    cloud.stacks.update({stack.name: FakeStack("CREATE_COMPLETE") for stack in small_plan().stacks})
    cloud.stacks["fed-HubNetwork"].outputs = {"VpcId": "vpc-1"}
    for name in gone:
        del cloud.stacks[name]
    for node in ("aggregator", "hospital-a", "hospital-b"):
        store.says(node, "ready")
        store.tell(node, contract.DESIRED, "{}")
    at = place.Place(folder / "federation.yaml", federation(), folder, Accounts(cloud, store))  # type: ignore[arg-type]
    assembly = SimpleNamespace(plan=small_plan(), folder=folder)
    patch.setattr(place.Place, "prepare", lambda _: assembly)
    patch.setattr(place.Place, "_cdk", lambda *_: cdk)
    patch.setattr(place, "orphans", lambda *_: ())
    at.deploy()


def test_a_node_whose_stack_is_gone_has_said_nothing_yet_when_it_is_deployed_again(
    cloud: FakeCloud, cdk: FakeCdk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FakeParameters()
    deploy(cloud, cdk, store, tmp_path, monkeypatch, ["fed-SiteNode-hospital-a"])
    assert store.told("hospital-a", contract.STATE) is None
    assert store.told("hospital-a", contract.DESIRED) == "{}"  # what is wanted of it stays


def test_a_node_that_stays_is_still_heard(
    cloud: FakeCloud, cdk: FakeCdk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FakeParameters()
    deploy(cloud, cdk, store, tmp_path, monkeypatch, ["fed-SiteNode-hospital-a"])
    assert store.told("hospital-b", contract.STATE) is not None
    assert store.told("aggregator", contract.STATE) is not None
