"""``federate restart``: what is refused is refused while nodes run; then they are stopped in order, and started."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from infra.cli import nodes as command
from infra.cli import supplying
from infra.cli.main import main
from infra.nodes import control
from infra.nodes.remote import Report
from infra.nodes.supply import NotApproved
from node_bootstrap.contract import NodeState

EXAMPLE = Path(__file__).parents[3] / "federation.yaml"


@pytest.fixture
def done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was done to the nodes, in order; each says that it runs what was started last."""
    log: list[str] = []
    monkeypatch.setenv("FEDERATE_HOME", str(tmp_path / "home"))

    def note(what: str, answer: Any = None) -> Any:
        def noted(*arguments: Any, **_: Any) -> Any:
            log.append(what)
            return answer(arguments[-1]) if callable(answer) else arguments[0] if answer is None else answer

        return noted

    def started(chosen: Any) -> dict[str, str]:
        return {remote.node.id: "next" for remote in chosen}

    def wait(chosen: Any, _: Any, *, what: str, **__: Any) -> dict[str, Report]:
        log.append(f"wait until {what}")
        return {remote.node.id: Report(NodeState.RUNNING, run="next") for remote in chosen}

    def remotes(_: Any, who: Any) -> tuple[Any, ...]:
        return tuple(SimpleNamespace(node=SimpleNamespace(id=id_)) for id_ in who or ("aggregator", "hospital-a"))

    monkeypatch.setattr(command, "remotes_of", remotes)
    monkeypatch.setattr(supplying, "supply_run_files", note("supply", answer=()))
    monkeypatch.setattr(control, "stop", note("stop"))
    monkeypatch.setattr(control, "start", note("start", answer=started))
    monkeypatch.setattr(control, "wait_until", wait)
    return log


def test_a_node_is_given_its_run_files_stopped_and_started(done: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-f", str(EXAMPLE), "restart", "hospital-a"]) == 0
    assert done == ["supply", "stop", "wait until stopped", "start", "wait until started"]
    assert "hospital-a: running" in capsys.readouterr().out


def test_what_is_refused_is_refused_while_nodes_still_run(done: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise NotApproved("another release is approved")

    monkeypatch.setattr(supplying, "supply_run_files", refuse)
    assert main(["-f", str(EXAMPLE), "restart", "hospital-a"]) == 3
    assert done == []


def test_a_script_gets_every_nodes_state_and_start(done: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-f", str(EXAMPLE), "--json", "restart"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {node: (one["state"], one["run"]) for node, one in told.items()} == {
        "aggregator": ("running", "next"),
        "hospital-a": ("running", "next"),
    }
