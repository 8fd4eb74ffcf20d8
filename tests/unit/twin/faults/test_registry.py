"""Faults as they are listed, cleared, kept in a file, and put in force again."""

from __future__ import annotations

import json

import pytest
from fake_ground import CUT, HEALTHY, FakeGround, FakeLink, FakeLinks

from infra.local.twin.faults import Faults, recorded
from infra.local.twin.faults.errors import FaultRefused
from infra.local.twin.faults.operations import operations
from infra.local.twin.faults.registry import KINDS
from infra.local.twin.network.conditions import Emulated


def test_at_the_depth_processes_links_disks_clocks_rules_and_routes_are_refused(ground, links, tmp_path):
    ground.depth = "processes"
    faults = Faults(ground, tmp_path / "faults.json", links)

    def answer(kind: str) -> str:
        try:
            faults.add(kind, "hospital-a")
        except FaultRefused as error:
            return str(error)
        return ""

    answers = {kind: answer(kind) for kind in KINDS}
    refused = {kind: told for kind, told in answers.items() if "cannot be shown at the depth processes" in told}
    assert list(refused) == ["slow", "lossy", "cut", "fill-disk", "skew-clock", "deny-rule", "delete-route"]
    assert all("Allowed here: kill, freeze, reboot, power-off, interrupt." in told for told in refused.values())


def test_an_unknown_kind_or_node_is_refused_with_those_that_there_are(faults):
    with pytest.raises(FaultRefused, match="no fault 'flood'") as kind:
        faults.add("flood", "hospital-a")
    with pytest.raises(FaultRefused, match="no node 'hospital-z'") as node:
        faults.add("cut", "hospital-z")

    assert "slow, lossy, cut" in kind.value.remedy
    assert "aggregator, hospital-a, hospital-b" in node.value.remedy


def test_faults_are_cleared_by_id_by_node_or_all_of_them(faults):
    first = faults.add("cut", "hospital-a")
    faults.add("lossy", "hospital-a", loss="1%")
    faults.add("cut", "hospital-b")
    faults.add("power-off", "hospital-b")

    assert [fault.id for fault in faults.clear(first.id)] == [first.id]
    assert [fault.kind for fault in faults.clear("hospital-a")] == ["lossy"]
    assert [fault.kind for fault in faults.clear()] == ["cut", "power-off"]
    assert faults.clear() == ()


def test_what_is_neither_fault_nor_node_is_not_cleared(faults):
    faults.add("cut", "hospital-a")

    with pytest.raises(FaultRefused, match="no fault and no node 'fault-9'") as refused:
        faults.clear("fault-9")

    assert "fault-1" in refused.value.remedy
    assert len(faults.list()) == 1


def test_a_test_has_a_fault_for_as_long_as_a_block_takes(faults, links):
    def fails() -> None:
        with faults.during("slow", "hospital-a", latency="80ms"):
            assert links.states == {"pcx-hospital-a": Emulated(80)}
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()

    assert links.states == {"pcx-hospital-a": HEALTHY}


def test_ids_are_not_used_again(faults):
    faults.clear(faults.add("cut", "hospital-a").id)

    assert faults.add("cut", "hospital-a").id == "fault-2"


def test_a_keeper_that_is_started_anew_finds_the_faults_and_takes_them_back(faults, ground, tmp_path):
    faults.add("slow", "hospital-a", latency="80ms")
    faults.add("skew-clock", "hospital-a", by="+2h")
    links = FakeLinks()

    anew = Faults(ground, tmp_path / "faults.json", links)
    assert anew.list() == faults.list()
    anew.clear()

    assert links.states == {"pcx-hospital-a": HEALTHY}
    assert ground.did[-1] == ("skew", "hospital-a", None)
    assert recorded(tmp_path / "faults.json") == []


def test_what_is_listed_is_in_force_again_after_resume(faults, tmp_path):
    faults.add("slow", "hospital-a", latency="80ms")
    faults.add("deny-rule", "hospital-b", rule="fl-port")
    ground, links = FakeGround(), FakeLinks()

    assert Faults(ground, tmp_path / "faults.json", links).resume() == ()

    assert links.states == {"pcx-hospital-a": Emulated(80)}
    assert ground.withheld == {"sgr-hospital-b-out", "sgr-hub-hospital-b"}


def test_what_cannot_be_in_force_again_stays_listed_and_an_event_says_why(faults, tmp_path):
    gone = faults.add("cut", "hospital-a")
    faults.add("cut", "hospital-b")
    links = FakeLinks()
    anew = Faults(FakeGround(roles={"hospital-b": "client"}), tmp_path / "faults.json", links)

    assert [fault.id for fault in anew.resume()] == [gone.id]

    assert [fault.node for fault in anew.list()] == ["hospital-a", "hospital-b"]
    assert [(event.kind, event.node) for event in anew.events()] == [("not in force", "hospital-a")]
    assert "Allowed: hospital-b" in anew.events()[0].text
    assert links.states == {"pcx-hospital-b": CUT}


def test_a_link_that_comes_later_is_as_the_faults_say(faults, ground, links):
    faults.add("slow", "aggregator", latency="80ms")
    faults.add("skew-clock", "hospital-a", by="+2h")
    ground.did.clear()
    ground.roles["hospital-c"] = "client"

    faults.settle_links()

    assert links.states["pcx-hospital-c"] == Emulated(80)
    assert ground.did == []


def test_a_fault_of_a_node_that_is_gone_is_cleared_without_it(faults, ground):
    faults.add("skew-clock", "hospital-a", by="+2h")
    del ground.roles["hospital-a"]

    faults.clear()

    assert faults.list() == ()
    assert ("skew", "hospital-a", None) not in ground.did


def test_a_fault_is_in_the_file_before_it_is_brought_about(faults, ground, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(ground, "skew", lambda *_: seen.extend(recorded(tmp_path / "faults.json")))

    faults.add("skew-clock", "hospital-a", by="+2h")

    assert [fault["kind"] for fault in seen] == ["skew-clock"]


def test_a_file_that_cannot_be_read_holds_no_faults(ground, links, tmp_path):
    (tmp_path / "faults.json").write_text("{")

    assert Faults(ground, tmp_path / "faults.json", links).list() == ()
    assert recorded(tmp_path / "faults.json") == []


def test_the_keeper_serves_plain_values(faults):
    serve = operations(faults)

    added = serve["fault.add"](kind="slow", node="hospital-a", parameters={"latency": "80ms"})
    listed = serve["fault.list"]()
    healed = serve["fault.add"](kind="heal", node="hospital-a", parameters={})
    rebooted = serve["fault.add"](kind="reboot", node="hospital-a")
    cleared = serve["fault.clear"](which="all")

    assert added["fault"]["parameters"] == {"latency_ms": 80}
    assert listed["faults"] == [added["fault"]]
    assert [fault["kind"] for fault in healed["cleared"]] == ["slow"]
    assert rebooted["event"]["kind"] == "reboot"
    assert cleared == {"cleared": []}
    assert json.loads(json.dumps([added, listed, healed, rebooted])) == [added, listed, healed, rebooted]


def test_what_is_not_in_the_node_is_taken_back_while_its_instance_is_stopped(faults, ground, links):
    faults.add("cut", "hospital-a")
    faults.add("power-off", "hospital-a")
    faults.add("deny-rule", "hospital-a", rule="fl-port")
    del ground.roles["hospital-a"]

    faults.clear("hospital-a")

    assert links.states == {"pcx-hospital-a": HEALTHY}
    assert ("power on", "hospital-a") in ground.did
    assert ground.withheld == frozenset()


def test_a_node_whose_instance_is_stopped_can_be_powered_on(faults, ground):
    off = faults.add("power-off", "hospital-a")
    del ground.roles["hospital-a"]

    assert [fault.id for fault in faults.undo("power-on", "hospital-a")] == [off.id]


def test_a_cut_link_stays_cut_while_the_sites_instance_is_stopped(faults, ground, links):
    faults.add("cut", "hospital-a")
    slow = faults.add("slow", "aggregator", latency="80ms")
    ground.links = lambda node: [FakeLink("pcx-hospital-a")]
    del ground.roles["hospital-a"]

    faults.clear(slow.id)

    assert links.states["pcx-hospital-a"] == CUT
