"""The default groups are emptied once stacks are there; that it cannot be done hides no other failure."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from fake_cloud import FakeCdk, FakeCloud, federation, small_plan

from infra.accounts import AwsRefused
from infra.deployment import place
from infra.deployment.condition import StackFailed
from infra.deployment.deploy import Deployment, NotDeployed


@pytest.fixture
def at(cloud: FakeCloud, cdk: FakeCdk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> place.Place:
    """A federation that nothing is deployed of; its accounts do not allow the groups to be emptied."""

    def refused(*_: object) -> list[str]:
        raise AwsRefused("the groups cannot be emptied")

    monkeypatch.setattr(place.Place, "prepare", lambda _: SimpleNamespace(plan=small_plan(), folder=tmp_path))
    monkeypatch.setattr(place.Place, "_cdk", lambda *_: cdk)
    monkeypatch.setattr(place.Place, "_forget_what_nodes_before_said", lambda *_: None)
    monkeypatch.setattr(place, "orphans", lambda *_: ())
    monkeypatch.setattr(place, "follow_keys", lambda *_: ())
    monkeypatch.setattr(place, "empty_default_groups", refused)
    return place.Place(tmp_path / "federation.yaml", federation(), tmp_path, cloud)


def ends(monkeypatch: pytest.MonkeyPatch, failure: BaseException | None) -> None:
    def run(*_: object) -> None:
        if failure is not None:
            raise failure

    monkeypatch.setattr(Deployment, "run", run)


def test_a_stack_that_failed_is_told_and_not_the_groups(at: place.Place, monkeypatch: pytest.MonkeyPatch) -> None:
    ends(
        monkeypatch, NotDeployed([StackFailed(small_plan().stacks[0], "the quota is used up", remedy="Ask for more.")])
    )
    with pytest.raises(NotDeployed, match="the quota is used up"):
        at.deploy()


def test_ctrl_c_asks_the_accounts_for_nothing_more(at: place.Place, monkeypatch: pytest.MonkeyPatch) -> None:
    ends(monkeypatch, KeyboardInterrupt())
    with pytest.raises(place.Interrupted, match="The stacks are now"):
        at.deploy()


def test_a_group_that_stays_open_after_all_is_deployed_is_an_error(
    at: place.Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends(monkeypatch, None)
    with pytest.raises(AwsRefused, match="cannot be emptied"):
        at.deploy()
