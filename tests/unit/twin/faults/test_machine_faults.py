"""Disks, clocks, rules and routes."""

from __future__ import annotations

import pytest

from infra.errors import FederateError
from infra.local.twin.faults import of_machines
from infra.local.twin.faults.errors import FaultRefused, NotReverted


def test_a_clock_is_wrong_until_it_is_cleared(faults, ground):
    fault = faults.add("skew-clock", "hospital-a", by="-30m")
    faults.clear(fault.id)

    assert fault.text == "-1800 s"
    assert ground.did == [("skew", "hospital-a", -1800.0), ("skew", "hospital-a", None)]


def test_a_node_without_a_disk_has_none_to_be_filled(faults):
    with pytest.raises(FaultRefused, match="no disk of its own"):
        faults.add("fill-disk", "hospital-a")


def test_a_folder_on_the_root_file_system_is_no_disk_of_a_node(faults, ground, monkeypatch, tmp_path):
    monkeypatch.setattr(of_machines, "fill", lambda path: pytest.fail("it was filled"))
    monkeypatch.setattr(of_machines, "_ROOT", tmp_path)
    ground.disks["hospital-a"] = tmp_path

    with pytest.raises(FaultRefused, match="no disk of its own"):
        faults.add("fill-disk", "hospital-a")


def test_a_denied_rule_is_withheld_by_its_name_with_all_that_share_it(faults, ground):
    faults.add("deny-rule", "hospital-a", rule="fl-port")

    assert ground.withheld == {"sgr-hospital-a-out", "sgr-hub-hospital-a"}


def test_rules_and_routes_are_withheld_together_and_given_back_one_by_one(faults, ground):
    rule = faults.add("deny-rule", "hospital-a", rule="sgr-hospital-a-443")
    route = faults.add("delete-route", "hospital-b", route="return")
    assert ground.withheld == {"sgr-hospital-a-443", "rtb-hub/hospital-b"}

    faults.clear(rule.id)
    assert ground.withheld == {"rtb-hub/hospital-b"}

    faults.clear(route.id)
    assert ground.withheld == frozenset()


@pytest.mark.parametrize(
    ("kind", "node", "parameters", "allowed"),
    [
        ("deny-rule", "hospital-a", {"rule": "ssh"}, "fl-port (tcp 8443 to the aggregator)"),
        ("deny-rule", "hospital-a", {}, "sgr-hospital-a-443 (tcp 443 to endpoints)"),
        ("delete-route", "hospital-a", {"route": "home"}, "return (hospital-a over the peering)"),
        ("delete-route", "aggregator", {"route": "to-hub"}, "none, it has none"),
        ("skew-clock", "hospital-a", {}, "+2h"),
    ],
)
def test_what_is_unknown_is_refused_with_what_is_allowed(faults, ground, kind, node, parameters, allowed):
    with pytest.raises(FaultRefused) as refused:
        faults.add(kind, node, **parameters)

    assert allowed in refused.value.remedy
    assert ground.did == []


def test_what_cannot_be_taken_back_stays_listed_and_the_others_go(faults, ground, links):
    faults.add("cut", "hospital-b")
    skewed = faults.add("skew-clock", "hospital-a", by="+2h")
    ground.broken = True

    with pytest.raises(NotReverted, match=f"{skewed.id} .* still there: skew does not work"):
        faults.clear("all")

    assert [fault.id for fault in faults.list()] == [skewed.id]
    assert links.states == {"pcx-hospital-b": "healthy"}


def test_what_cannot_be_brought_about_is_not_listed(faults, ground):
    ground.broken = True

    with pytest.raises(FederateError, match="reboot does not work"):
        faults.add("reboot", "hospital-a")
    with pytest.raises(FederateError, match="skew does not work"):
        faults.add("skew-clock", "hospital-a", by="+2h")

    assert (faults.list(), faults.events()) == ((), ())
