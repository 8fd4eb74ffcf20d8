"""What a person and a script read of ``federate status``, from what the accounts have said."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "helpers"))

from small_visit import federation
from stubbed_aws import FailingAccounts, refused

from infra.cli.context import Aws, Context
from infra.cli.status import _as_dict, _as_text, _troubles, _units
from infra.deployment.look import Sight
from infra.deployment.ways import Way
from infra.errors import FederateError
from infra.nodes.reach import NobodyAnswers, Outcome
from infra.nodes.remote import Remote, remotes

HERE = Context(Path(__file__).parents[3] / "federation.yaml", Aws.REAL, json=False)
STACKS = {"SiteStorage-hospital-a": "CREATE_COMPLETE", "SiteNode-hospital-a": "UPDATE_ROLLBACK_COMPLETE"}


def site(**changes: Any) -> Remote:
    return remotes(federation(site=changes), FailingAccounts(refused))[1]


def row(sight: Sight) -> list[str]:
    (line,) = [line for line in _as_text(HERE, [sight], {}).splitlines() if "│ hospital-a" in line]
    return [cell.strip() for cell in line.split("│")[1:-1]]


def test_a_row_has_the_stacks_the_way_the_instance_and_the_release() -> None:
    sight = Sight(
        site(), STACKS, "running", approved="ab" * 32, is_heard=True, way=Way("pcx-1", "active", "blackhole", "active")
    )
    assert row(sight)[3:6] == ["1/2, SiteNode-hospital-a UPDATE_ROLLBACK_COMPLETE", "route there blackhole", "running"]
    assert row(sight)[-1] == "abababababab"


def test_an_account_that_does_not_answer_is_unknown_in_every_column() -> None:
    trouble = FederateError("AWS does not answer")
    sight = Sight(site(), troubles=(trouble, trouble))
    assert row(sight)[3:8] == ["unknown", "unknown", "unknown", "unknown", "does not answer"]
    assert row(sight)[-2:] == ["unknown", "unknown"]
    assert _troubles([sight, sight]) == ["AWS does not answer"]
    told = _as_dict(sight, {})
    assert (told["stacks"], told["way"], told["approved_release"]) == ({}, None, None)
    assert told["troubles"] == ["AWS does not answer"] * 2


def test_a_site_that_its_own_admin_operates_is_not_called_silent() -> None:
    assert row(Sight(site(operated_by="site")))[7] == "its own admin's"


def test_units_are_asked_for_where_an_instance_runs_and_a_silent_one_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    class Answers:
        def run(self, remote: Remote, command: str, timeout: float) -> Outcome:
            if remote.node.id == "aggregator":
                raise NobodyAnswers(remote, "it is silent")
            return Outcome(3, "failed\n", "")

    monkeypatch.setattr("infra.nodes.reach.Ssm", Answers)
    hub, a = remotes(federation(), FailingAccounts(refused))
    running = Sight(a, STACKS, "running")
    found = _units([Sight(hub, STACKS, "running"), running, replace(running, instance="stopped")])
    assert found == {"aggregator": "no answer", "hospital-a": "failed"}
