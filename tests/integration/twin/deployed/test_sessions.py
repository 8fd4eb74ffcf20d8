"""Sessions of the twin: a second start changes nothing, another depth is refused, and two side by side do not meet."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from twin_desk import TwinDesk, eventually


def test_a_second_up_changes_nothing_and_another_depth_is_refused(make_desk: Callable[..., TwinDesk]) -> None:
    desk = make_desk("network")
    first = desk.run("--json", "local", "up")[0]
    twin = json.loads((desk.twin / "twin.json").read_text())
    assert desk.run("--json", "local", "up")[0] == first
    assert json.loads((desk.twin / "twin.json").read_text()) == twin
    _, err = desk.run("local", "up", "--depth", "processes", code=4)
    assert "runs at the depth network" in err
    assert "federate local down" in err


@pytest.mark.timeout(280)
def test_two_twins_of_the_same_federation_do_not_disturb_each_other(make_desk: Callable[..., TwinDesk]) -> None:
    """Both have the same accounts, ranges and addresses; one is harmed and ended, and the other trains."""
    one, another = make_desk("network"), make_desk("network")
    for desk in (one, another):
        desk.run("deploy")
    one.fault("cut", "hospital-a")
    assert [fault["kind"] for fault in one.shadow()["faults"]] == ["cut"]
    assert another.shadow()["faults"] == []

    another.run("start", "clients")
    another.run("start", "server")
    one.run("local", "down")

    assert another.says("aggregator")["state"] == "finished"
    assert another.says("hospital-a")["progress"]["round"] == 3
    eventually(lambda: not one.processes(), "the end of the first twin's processes")
    assert another.shadow()["running"]
