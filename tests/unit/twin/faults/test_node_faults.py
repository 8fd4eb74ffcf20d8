"""Faults of nodes and processes, on processes that the test starts."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest
from fake_ground import FakeLinks

from infra.local import process
from infra.local.twin.faults import Faults, recorded
from infra.local.twin.faults.errors import FaultRefused
from infra.local.twin.faults.fault import Event


def state(pid: int) -> str:
    """Return the letter that the kernel has for a process's state, ``Z`` or nothing once it has ended."""
    told = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return told.strip()[:1]


def becomes(pid: int, letters: str) -> bool:
    deadline = time.monotonic() + 10
    while state(pid) not in letters and time.monotonic() < deadline:
        os.sched_yield()
    return state(pid) in letters


@pytest.fixture
def running(ground) -> Iterator[dict[str, int]]:
    """An application and an agent of hospital-a that wait for nothing."""
    children = {name: subprocess.Popen(["sleep", "300"]) for name in ("application", "agent")}
    for name, child in children.items():
        ground.running["hospital-a", name] = [child.pid]
    yield {name: child.pid for name, child in children.items()}
    for child in children.values():
        with contextlib.suppress(ProcessLookupError):
            child.send_signal(signal.SIGCONT)
        child.kill()
        child.wait()


def test_kill_ends_the_application_at_once_and_is_an_event(faults, running):
    event = faults.add("kill", "hospital-a")

    assert becomes(running["application"], "Z")
    assert state(running["agent"]) == "S"
    assert isinstance(event, Event)
    assert faults.list() == ()
    assert [(one.kind, one.text) for one in faults.events()] == [("kill", "application")]


def test_kill_ends_the_agent_if_that_is_meant(faults, running):
    faults.add("kill", "hospital-a", process="agent")

    assert becomes(running["agent"], "Z")
    assert state(running["application"]) == "S"


def test_what_does_not_run_is_not_killed(faults):
    with pytest.raises(FaultRefused, match="No application runs on hospital-b"):
        faults.add("kill", "hospital-b")

    assert faults.events() == ()


def test_a_frozen_node_stands_still_until_it_is_thawed(faults, running):
    faults.add("freeze", "hospital-a")
    assert all(becomes(pid, "T") for pid in running.values())

    faults.undo("thaw", "hospital-a")

    assert all(becomes(pid, "S") for pid in running.values())
    assert faults.list() == ()


def test_one_process_is_frozen_if_that_is_meant(faults, running):
    faults.add("freeze", "hospital-a", process="application")

    assert becomes(running["application"], "T")
    assert state(running["agent"]) == "S"


def test_freezing_less_than_before_thaws_the_rest(faults, running):
    faults.add("freeze", "hospital-a")
    faults.add("freeze", "hospital-a", process="agent")

    assert becomes(running["application"], "S")
    assert becomes(running["agent"], "T")
    assert len(faults.list()) == 1


def test_thawing_does_not_touch_another_process_with_the_number(faults, running, ground, monkeypatch):
    faults.add("freeze", "hospital-a", process="application")
    monkeypatch.setattr(process, "started_at", lambda pid: "another time")

    faults.undo("thaw", "hospital-a")

    assert state(running["application"]) == "T"


def test_processes_that_have_ended_are_not_frozen_any_more_after_resume(faults, running, ground, tmp_path):
    faults.add("freeze", "hospital-a")
    assert faults.resume() == ()
    assert [fault.kind for fault in faults.list()] == ["freeze"]
    for pid in running.values():
        os.kill(pid, signal.SIGKILL)
    assert all(becomes(pid, "Z") for pid in running.values())

    assert Faults(ground, tmp_path / "faults.json", FakeLinks()).resume() == ()

    assert recorded(tmp_path / "faults.json") == []


def test_power_off_lasts_until_power_on(faults, ground):
    faults.add("power-off", "hospital-a")
    faults.undo("power-on", "hospital-a")

    assert ground.did == [("power off", "hospital-a"), ("power on", "hospital-a")]
    assert faults.list() == ()


@pytest.mark.parametrize("ending", ["reboot", "power-off"])
def test_processes_of_a_node_that_begins_anew_are_not_frozen_any_more(faults, ground, running, ending):
    faults.add("freeze", "hospital-a")

    faults.add(ending, "hospital-a")

    assert "freeze" not in [fault.kind for fault in faults.list()]


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [("kill", {}), ("freeze", {}), ("reboot", {}), ("skew-clock", {"by": "+2h"}), ("fill-disk", {})],
)
def test_a_node_that_is_powered_off_has_nothing_that_could_fail(faults, running, kind, parameters):
    faults.add("power-off", "hospital-a")

    with pytest.raises(FaultRefused, match="powered off") as refused:
        faults.add(kind, "hospital-a", **parameters)

    assert "power-on hospital-a" in refused.value.remedy


@pytest.mark.parametrize("verb", ["heal", "thaw", "power-on"])
def test_what_is_not_wrong_is_not_undone(faults, verb):
    with pytest.raises(FaultRefused, match=f"Nothing to {verb} at hospital-a"):
        faults.undo(verb, "hospital-a")


def test_a_frozen_node_whose_processes_have_ended_is_not_frozen_any_more(faults, running):
    faults.add("freeze", "hospital-a")

    for pid in running.values():
        os.kill(pid, signal.SIGKILL)
    assert all(becomes(pid, "Z") for pid in running.values())

    assert faults.list() == ()
    assert [(event.kind, event.node) for event in faults.events()] == [("over", "hospital-a")]


def test_a_notice_is_the_instances_and_can_be_taken_back(faults, ground):
    fault = faults.add("interrupt", "hospital-a")
    assert ground.announced == {("i-a", "spot"): 120.0}
    assert (fault.text, fault.details) == ("spot notice, 120 s ahead", {"instance": "i-a"})

    faults.clear(fault.id)
    assert ground.announced == {}


def test_notices_of_two_kinds_are_two_faults(faults, ground):
    faults.add("interrupt", "hospital-a", notice="maintenance", after="2d")
    faults.add("interrupt", "hospital-a", notice="rebalance")
    assert ground.announced == {("i-a", "maintenance"): 172_800.0, ("i-a", "rebalance"): 120.0}
    assert len(faults.list()) == 2


def test_a_notice_is_over_when_the_node_has_another_instance(faults, ground):
    faults.add("interrupt", "hospital-a")
    ground.instances["hospital-a"] = "i-next"
    assert faults.list() == ()
    assert [event.kind for event in faults.events()] == ["over"]


def test_a_node_without_an_instance_gets_no_notice(faults, ground):
    ground.instances.clear()
    with pytest.raises(FaultRefused, match="hospital-a has no instance that runs"):
        faults.add("interrupt", "hospital-a")
    assert faults.list() == ()
