"""``federate local fault …`` against faults of a twin that writes down what is done to it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "helpers"))

from fake_ground import CUT, HEALTHY, FakeGround, FakeLinks

from infra.cli import faults as cli
from infra.cli import status
from infra.cli.context import Aws
from infra.cli.main import main
from infra.local import twin
from infra.local.twin.faults import Faults
from infra.local.twin.faults.operations import operations
from infra.local.twin.network.conditions import Emulated


@pytest.fixture
def ground() -> FakeGround:
    return FakeGround()


@pytest.fixture
def links() -> FakeLinks:
    return FakeLinks()


@pytest.fixture
def faults(ground: FakeGround, links: FakeLinks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Faults:
    """The faults that the commands reach."""
    made = Faults(ground, tmp_path / "faults.json", links)
    served = operations(made)

    def ask(operation: str, **arguments: Any) -> Any:
        return json.loads(json.dumps(served[operation](**json.loads(json.dumps(arguments)))))

    monkeypatch.setattr(cli, "_ask", ask)
    return made


def run(*words: str) -> int:
    return main(["local", "fault", *words])


@pytest.mark.parametrize(
    ("words", "kind", "parameters"),
    [
        ("slow hospital-a --latency 80ms --rate 100mbit", "slow", {"latency_ms": 80, "rate_mbit": 100}),
        ("slow hospital-a --latency 80ms --jitter 5ms", "slow", {"latency_ms": 80, "jitter_ms": 5}),
        ("lossy hospital-a --loss 2%", "lossy", {"loss_percent": 2}),
        ("cut hospital-a", "cut", {}),
        ("power-off hospital-a", "power-off", {}),
        ("interrupt hospital-a", "interrupt", {"notice": "spot", "after_seconds": 120}),
        (
            "interrupt hospital-a --kind maintenance --after 14d",
            "interrupt",
            {"notice": "maintenance", "after_seconds": 1_209_600},
        ),
        ("skew-clock hospital-a +2h", "skew-clock", {"seconds": 7200}),
        ("skew-clock hospital-a -30m", "skew-clock", {"seconds": -1800}),
        (
            "deny hospital-a fl-port",
            "deny-rule",
            {"rule": "fl-port", "ids": ["sgr-hospital-a-out", "sgr-hub-hospital-a"]},
        ),
        ("delete-route hospital-a return", "delete-route", {"route": "return", "ids": ["rtb-hub/hospital-a"]}),
    ],
)
def test_a_command_makes_a_fault_and_says_how_to_take_it_back(faults, capsys, words, kind, parameters):
    assert run(*words.split()) == 0

    (fault,) = faults.list()
    assert (fault.kind, fault.node, fault.parameters) == (kind, "hospital-a", parameters)
    said = capsys.readouterr().out
    assert said.startswith(f"fault-1: {kind} hospital-a")
    assert "federate local fault clear fault-1" in said


@pytest.mark.parametrize(
    ("words", "undone_by"), [("cut hospital-a", "heal hospital-a"), ("power-off hospital-a", "power-on hospital-a")]
)
def test_a_command_takes_it_back(faults, capsys, words, undone_by):
    run(*words.split())

    assert run(*undone_by.split()) == 0

    assert faults.list() == ()
    assert "Taken back: fault-1" in capsys.readouterr().out


def test_a_link_goes_through_its_states(faults, links):
    run("slow", "aggregator", "--latency", "80ms")
    assert links.states["pcx-hospital-b"] == Emulated(80)
    run("cut", "hospital-b")
    assert links.states["pcx-hospital-b"] == CUT
    run("clear", "hospital-b")
    assert links.states["pcx-hospital-b"] == Emulated(80)
    run("clear", "--all")
    assert links.states == {"pcx-hospital-a": HEALTHY, "pcx-hospital-b": HEALTHY}


def test_an_event_is_done_and_listed_as_past(faults, capsys):
    assert run("reboot", "hospital-a") == 0
    assert run("list") == 0

    said = capsys.readouterr().out
    assert "Done: reboot hospital-a." in said
    assert "No faults.\nLately\n" in said


def test_faults_are_listed_as_a_table(faults, capsys):
    run("slow", "hospital-a", "--latency", "80ms")
    run("cut", "aggregator")
    capsys.readouterr()

    assert run("list") == 0

    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Faults in the twin"
    assert lines[1].split() == ["id", "fault", "node", "since"]
    assert lines[2].split()[:4] == ["fault-1", "slow", "hospital-a", "80"]
    assert lines[3].split()[:3] == ["fault-2", "cut", "aggregator"]


def test_a_script_gets_json(faults, capsys):
    run("slow", "hospital-a", "--latency", "80ms")
    capsys.readouterr()

    assert main(["--json", "local", "fault", "list"]) == 0

    assert json.loads(capsys.readouterr().out)["faults"] == [fault.as_dict() for fault in faults.list()]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("slow hospital-a", "neither latency nor rate"),
        ("slow hospital-a --latency 80", "latency is '80'"),
        ("cut hospital-z", "no node 'hospital-z'"),
        ("kill hospital-a", "No application runs"),
        ("fill-disk hospital-a", "no disk of its own"),
        ("skew-clock hospital-a 2h", "by is '2h'"),
        ("thaw hospital-a", "Nothing to thaw"),
        ("clear fault-7", "no fault and no node 'fault-7'"),
        ("clear", "Which faults?"),
        ("clear fault-1 --all", "Which faults?"),
    ],
)
def test_what_makes_no_sense_ends_with_2_and_says_what_does(faults, capsys, words, says):
    assert run(*words.split()) == 2

    message, remedy = capsys.readouterr().err.strip().split("\n", 1)
    assert says in message
    assert remedy.strip()
    assert faults.list() == ()


def test_status_shows_faults_of_the_twin_and_of_no_real_account(faults, monkeypatch):
    run("slow", "hospital-a", "--latency", "80ms")
    listed = [fault.as_dict() for fault in faults.list()]
    monkeypatch.setattr(twin, "status", lambda: {"faults": listed})

    shown = status._faults(SimpleNamespace(aws=Aws.LOOPBACK))

    assert "fault-1  slow   hospital-a  80 ms round trip" in cli.as_text(shown)
    assert status._faults(SimpleNamespace(aws=Aws.REAL)) == []
    assert cli.as_text([]) == ""
