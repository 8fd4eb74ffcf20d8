"""Faults of links: alone, together, and taken back one by one."""

from __future__ import annotations

import pytest
from fake_ground import CUT, HEALTHY

from infra.errors import FederateError
from infra.local.twin.faults.errors import FaultRefused
from infra.local.twin.network.conditions import Emulated


def test_a_slow_site_has_its_own_link_slowed(faults, links):
    faults.add("slow", "hospital-a", latency="80ms", rate="100mbit", jitter="5ms")

    assert links.states == {"pcx-hospital-a": Emulated(80, 100, jitter_ms=5)}


def test_a_slow_aggregator_has_every_link_slowed(faults, links):
    faults.add("slow", "aggregator", latency="80ms")

    assert links.states == {"pcx-hospital-a": Emulated(80), "pcx-hospital-b": Emulated(80)}


def test_faults_on_one_link_add_up_and_go_one_by_one(faults, links):
    slow = faults.add("slow", "aggregator", latency="80ms", rate="100mbit")
    faults.add("slow", "hospital-a", latency="20ms", rate="10mbit")
    faults.add("lossy", "hospital-a", loss="2%")

    together = links.states["pcx-hospital-a"]
    assert (together.latency_ms, together.rate_mbit) == (100, 10)
    assert together.loss_percent == pytest.approx(2)
    assert links.states["pcx-hospital-b"] == Emulated(80, 100)

    faults.clear(slow.id)

    assert links.states["pcx-hospital-a"].latency_ms == 20
    assert links.states["pcx-hospital-b"] == HEALTHY


def test_a_cut_link_carries_nothing_and_is_slow_again_afterwards(faults, links):
    faults.add("slow", "hospital-a", latency="80ms")
    cut = faults.add("cut", "hospital-a")
    assert links.states["pcx-hospital-a"] == CUT

    faults.clear(cut.id)

    assert links.states["pcx-hospital-a"] == Emulated(80)


def test_heal_takes_back_all_faults_of_the_link_and_no_others(faults, links, ground):
    faults.add("slow", "hospital-a", latency="80ms")
    faults.add("cut", "hospital-a")
    faults.add("power-off", "hospital-a")

    healed = faults.undo("heal", "hospital-a")

    assert [fault.kind for fault in healed] == ["slow", "cut"]
    assert links.states["pcx-hospital-a"] == HEALTHY
    assert [fault.kind for fault in faults.list()] == ["power-off"]


def test_the_same_kind_again_replaces_the_first_and_keeps_its_id(faults, links):
    first = faults.add("slow", "hospital-a", latency="80ms")
    second = faults.add("slow", "hospital-a", latency="20ms")

    assert second.id == first.id
    assert links.states["pcx-hospital-a"] == Emulated(20)
    assert [fault.parameters for fault in faults.list()] == [{"latency_ms": 20}]


def test_a_fault_is_listed_in_words(faults):
    fault = faults.add("slow", "hospital-a", latency="80ms", rate="100mbit", jitter="5ms")

    assert fault.text == "80 ms round trip ± 5 ms, 100 Mbit/s"
    assert faults.add("lossy", "hospital-a", loss="2%").text == "2 % each way"


@pytest.mark.parametrize(
    ("kind", "parameters", "says"),
    [
        ("slow", {}, "neither latency nor rate"),
        ("slow", {"latency": "0ms"}, "neither latency nor rate"),
        ("slow", {"latency": "10ms", "jitter": "20ms"}, "jitter is 20ms"),
        ("slow", {"rate": "1mbit", "jitter": "20ms"}, "jitter is 20ms and latency 0ms"),
        ("slow", {"latency": "80"}, "latency is '80'"),
        ("slow", {"loss": "2%"}, "slow has no loss"),
        ("lossy", {}, "lossy has no loss"),
        ("cut", {"rate": "1mbit"}, "cut has no rate"),
    ],
)
def test_what_makes_no_sense_is_refused_and_leaves_nothing(faults, links, kind, parameters, says):
    with pytest.raises(FaultRefused, match=says) as refused:
        faults.add(kind, "hospital-a", **parameters)

    assert refused.value.remedy
    assert (faults.list(), links.states) == ((), {})


def test_a_site_without_a_link_is_refused(faults, ground, monkeypatch):
    monkeypatch.setattr(ground, "links", lambda node: [])

    with pytest.raises(FaultRefused, match="no link"):
        faults.add("cut", "hospital-a")


def test_a_link_that_cannot_be_shaped_has_no_fault(faults, links):
    links.broken = True

    with pytest.raises(FederateError, match="stuck"):
        faults.add("slow", "hospital-a", latency="80ms")

    assert faults.list() == ()
    assert links.states == {"pcx-hospital-a": HEALTHY}


def test_a_change_that_fails_leaves_the_fault_that_was_there(faults, links):
    faults.add("slow", "hospital-a", latency="80ms")
    links.broken = True

    with pytest.raises(FederateError, match="stuck"):
        faults.add("slow", "hospital-a", latency="20ms")

    assert [fault.parameters for fault in faults.list()] == [{"latency_ms": 80}]
    assert links.states == {"pcx-hospital-a": Emulated(80)}
