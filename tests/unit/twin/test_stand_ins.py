"""A node that is a process has a metadata service of its own on loopback, which gives notices and nothing secret."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.local.twin.bodies import Bodies
from infra.local.twin.deployed import Instance
from infra.local.twin.grounds.notices import Announcements
from infra.local.twin.grounds.stand_ins import StandIns
from node_bootstrap.agent.notices import of_this_instance

A, B = (
    Instance(f"i-{name}", "111111111111", "us-east-1", {"node": name}, f"vol-{name}", "profile", f"eni-{name}")
    for name in "ab"
)


@pytest.fixture
def announced() -> Announcements:
    return Announcements()


@pytest.fixture
def stand_ins(announced: Announcements, tmp_path: Path) -> Iterator[StandIns]:
    made = StandIns(Bodies(tmp_path), announced)
    yield made
    made.follow({})


def ask(stand_ins: StandIns, instance: Instance, path: str) -> str | None:
    service = of_this_instance(stand_ins.environment(instance))
    assert service is not None
    return service(path)


def test_a_notice_is_told_to_the_instance_that_it_is_for(stand_ins: StandIns, announced: Announcements) -> None:
    stand_ins.follow({"i-a": A, "i-b": B})
    announced.add("i-a", "spot", 120.0)
    assert '"action": "terminate"' in (ask(stand_ins, A, "spot/instance-action") or "")
    assert ask(stand_ins, B, "spot/instance-action") is None
    announced.remove("i-a", "spot")
    assert ask(stand_ins, A, "spot/instance-action") is None


def test_there_are_no_credentials(stand_ins: StandIns) -> None:
    stand_ins.follow({"i-a": A})
    assert ask(stand_ins, A, "instance-id") == "i-a"
    assert ask(stand_ins, A, "iam/security-credentials/") is None


def test_a_service_ends_with_its_instance_and_the_next_keeper_serves_at_the_same_place(
    stand_ins: StandIns, announced: Announcements, tmp_path: Path
) -> None:
    stand_ins.follow({"i-a": A})
    place = stand_ins.environment(A)
    stand_ins.follow({})
    with pytest.raises(OSError, match=r"refused|reset"):
        ask(stand_ins, A, "instance-id")
    next_keeper = StandIns(Bodies(tmp_path), announced)
    next_keeper.follow({"i-a": A})
    assert next_keeper.environment(A) == place
    assert ask(next_keeper, A, "instance-id") == "i-a"
    next_keeper.follow({})
