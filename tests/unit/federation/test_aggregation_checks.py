"""What the built-in aggregations need is checked before anything is deployed."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize("name", ["trimmed_mean", "median"])
def test_robust_aggregations_need_five_participants(problems, data, site, name):
    data["training"]["aggregation"] = name
    problem = problems(data)["training.aggregation"]
    assert problem.found == f"{name} needs at least 5 participants; there are 2."
    assert "the median of two is their mean" in problem.allowed
    assert problem.remedy == "Take fedavg."
    data["participants"] = [site(number) for number in range(1, 6)]
    assert problems(data) == {}


@pytest.mark.parametrize(("quorum", "wrong"), [(4, True), (5, False), (None, False)])
def test_robust_aggregations_need_five_updates_in_every_round(problems, data, site, quorum, wrong):
    data["participants"] = [site(number) for number in range(1, 8)]
    data["training"]["aggregation"] = {"name": "trimmed_mean", "options": {"trim": 0.2}}
    data["policy"] = {"quorum": quorum, "round_deadline_seconds": 60 if quorum else "none"}
    found = problems(data)
    assert ("training.aggregation" in found) is wrong
    if wrong:
        assert "policy.quorum lets a round close with 4" in found["training.aggregation"].found
        assert found["training.aggregation"].remedy == "Set policy.quorum to 5 or more, or leave it out."


@pytest.mark.parametrize(("optimizer", "wrong"), [("sgd", False), ("adam", True), (None, True)])
def test_scaffold_needs_plain_sgd(problems, data, optimizer, wrong):
    data["training"]["aggregation"] = "scaffold"
    data["training"].pop("optimizer", None)
    if optimizer:
        data["training"]["optimizer"] = optimizer
    found = problems(data)
    assert ("training.aggregation" in found) is wrong
    if wrong:
        assert "training.optimizer is adam" in found["training.aggregation"].found
        assert "fedprox" in found["training.aggregation"].remedy


def test_fedprox_asks_for_nothing(problems, data):
    data["training"]["aggregation"] = {"name": "fedprox", "options": {"mu": 0.1}}
    assert problems(data) == {}


@pytest.mark.parametrize(("fraction", "wrong"), [(0.5, True), (0.7, False)])
def test_robust_aggregations_need_five_sites_that_are_asked(problems, data, site, fraction, wrong):
    data["participants"] = [site(number) for number in range(1, 8)]
    data["training"]["aggregation"] = "median"
    data["policy"] = {"selection": {"method": "fraction", "fraction": fraction}}
    found = problems(data)
    assert ("training.aggregation" in found) is wrong
    if wrong:
        assert "policy.selection asks 4 sites" in found["training.aggregation"].found
