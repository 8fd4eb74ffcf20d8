"""Whatever is stopped or killed in the middle comes back, and the model is the same, bit for bit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from training_desk import NODES, TrainingDesk, wait_until

from infra.local.process import started_at
from node_bootstrap import contract

ROUNDS = 60
#: Enough work for a round that something can happen in the middle of a run.
TRAINING = {"rounds": ROUNDS, "epochs": 300}


@dataclass(frozen=True)
class Unwatched:
    """A run that nothing happened to, while its watching was ended by Ctrl-C: how that ended, and the run's model."""

    code: int
    said: str
    went_on: bool
    model: str


@pytest.fixture(scope="module")
def unwatched(desk: TrainingDesk) -> Unwatched:
    desk.write(**TRAINING)
    command, run = desk.in_the_middle("start")
    wait_until(lambda: "rounds" in next_line(command), what="the view of the training")
    command.send_signal(signal.SIGINT)
    code, said = ended(command)
    at = desk.says("aggregator")["progress"]["round"]
    later = desk.wait_for("aggregator", "running", "finished", round_=at + 1)
    return Unwatched(code, said, later["run"] == run, model(desk))


@pytest.fixture(scope="module")
def undisturbed(unwatched: Unwatched) -> str:
    """The model of a run that nothing happened to."""
    return unwatched.model


def model(desk: TrainingDesk) -> str:
    """Wait for the end of a run and return the SHA-256 of its model; all rounds are told."""
    for node in NODES:
        desk.wait_for(node, "finished")
    brought = json.loads(desk.run("--json", "results", "--no-compare")[0])
    rounds = (Path(brought["folder"]) / "rounds.jsonl").read_text().splitlines()
    assert [json.loads(line)["round"] for line in rounds] == list(range(ROUNDS))
    return str(brought["summary"]["model_sha256"])


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait for a command's end; return its exit code and what it said on standard error."""
    _, said = process.communicate(timeout=120)
    assert "Traceback" not in said
    return process.returncode, said


def test_ctrl_c_ends_the_watching_and_not_the_training(unwatched: Unwatched) -> None:
    assert unwatched.code == 130
    assert "Training goes on unwatched." in unwatched.said
    assert "federate watch shows it again" in unwatched.said
    assert unwatched.went_on


def test_a_run_that_is_stopped_in_the_middle_goes_on_at_the_next_start(desk: TrainingDesk, undisturbed: str) -> None:
    command, _ = desk.in_the_middle("start", "--detach")
    assert len(desk.processes("-m fl_app")) == 3
    said, _ = desk.run("stop")
    for node in NODES:
        assert f"{node}: stopped, stopped as asked" in said
    assert ended(command)[0] == 0
    at = desk.says("aggregator")["progress"]["round"]
    assert 2 <= at < ROUNDS
    assert desk.processes("-m fl_app") == {}
    said, _ = desk.run("start", "clients")
    for site in NODES[1:]:
        assert f"{site}: waiting, waits for aggregator" in said
    desk.run("start", "server", "--detach")
    assert desk.says("aggregator")["progress"]["round"] >= at
    assert model(desk) == undisturbed


def test_nodes_that_are_made_anew_in_the_middle_of_a_run_go_on_by_themselves_and_lose_no_round(
    desk: TrainingDesk, undisturbed: str
) -> None:
    command, run = desk.in_the_middle("start", "--detach")
    assert ended(command)[0] == 0
    before = desk.bodies()
    serials = {node: desk.says(node)["identity"]["serial"] for node in NODES}
    audited = len(audit_log(desk, "hospital-a"))
    anew = {"aggregator": "fed-HubNode", "hospital-a": "fed-SiteNode-hospital-a"}
    for node, stack in anew.items():
        desk.client(node, "cloudformation").delete_stack(StackName=stack)
    wait_until(lambda: not anew.keys() & desk.bodies().keys(), what="the end of both nodes")
    at = desk.says("aggregator")["progress"]["round"]
    assert 2 <= at < ROUNDS

    desk.run("deploy", "--stacks-only", "--only", "aggregator", "--only", "hospital-a")

    desk.wait_for("aggregator", "running", "finished", round_=at + 1)
    after = desk.bodies()
    assert after["hospital-b"] == before["hospital-b"], "the site that was let alone runs on"
    assert all(after[node]["instance"] != before[node]["instance"] for node in anew)
    assert model(desk) == undisturbed
    assert {desk.says(node)["run"] for node in NODES} == {run}
    assert {node: desk.says(node)["identity"]["serial"] for node in NODES} == serials, "keys are on the state volume"
    assert len(audit_log(desk, "hospital-a")) > audited, "the audit log was gone on with"


def audit_log(desk: TrainingDesk, node: str) -> list[str]:
    """Return the lines of a node's audit log, which is on its state volume."""
    (path,) = (path for folder in desk.node_folders(node) for path in folder.rglob("audit*.jsonl"))
    return path.read_text().splitlines()


def test_a_notice_of_interruption_stops_a_site_in_order_and_training_goes_on_once_it_is_over(
    desk: TrainingDesk, undisturbed: str
) -> None:
    command, run = desk.in_the_middle("start", "--detach")
    assert ended(command)[0] == 0
    agent = desk.bodies()["hospital-b"]["pid"]
    desk.run("local", "fault", "interrupt", "hospital-b", "--kind", "spot")
    said = desk.wait_for("hospital-b", "stopped")
    assert said["reason"].startswith("interrupted: spot notice: terminate at ")
    assert len(desk.processes("-m fl_app client")) == 1, "the other site's"
    os.kill(agent, signal.SIGKILL)  # nothing begins on this instance, whatever is started again
    wait_until(lambda: desk.bodies().get("hospital-b", {}).get("pid", agent) != agent, what="another agent")
    wait_until(lambda: desk.says("hospital-b")["at"] != said["at"], what="the other agent's word")
    assert len(desk.processes("-m fl_app client")) == 1
    assert desk.says("hospital-b")["state"] == "stopped"
    desk.run("local", "fault", "clear", "hospital-b")
    assert model(desk) == undisturbed
    assert {desk.says(node)["run"] for node in NODES} == {run}
    assert "WARNING spot notice: terminate at" in desk.run("logs", "hospital-b", "--since", "5m")[0]


def answered(desk: TrainingDesk) -> list[str]:
    """Return who is in the last round that the aggregator has written about."""
    (path,) = (path for folder in desk.node_folders("aggregator") for path in folder.rglob("rounds.jsonl"))
    lines = [line for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]
    return list(json.loads(lines[-1])["answered"]) if lines else []


def test_a_site_is_taken_out_and_put_back_in_the_middle_of_a_run_which_is_then_cancelled(
    desk: TrainingDesk, undisturbed: str
) -> None:
    desk.write(**{**TRAINING, "rounds": 5000})
    file = desk.folder / "federation.yaml"
    whole = file.read_text()
    command, run = desk.in_the_middle("start", "--detach")
    assert ended(command)[0] == 0

    begin, end = whole.index("  - id: hospital-b"), whole.index("training:")
    file.write_text(whole[:begin] + whole[end:])
    desk.run("supply", "--only", "aggregator")
    wait_until(lambda: answered(desk) == ["hospital-a"], what="a round without hospital-b")
    file.write_text(whole)
    desk.run("supply", "--only", "aggregator")
    wait_until(lambda: answered(desk) == ["hospital-a", "hospital-b"], what="a round with hospital-b again")

    said, _ = desk.run("stop", "--cancel")
    for node in NODES:
        assert f"{node}: stopped, the run was cancelled" in said
    assert desk.processes("-m fl_app") == {}
    desk.write(**TRAINING)
    command, another = desk.in_the_middle("start", "--detach")
    assert ended(command)[0] == 0
    assert another != run
    assert model(desk) == undisturbed


def test_killed_agents_and_applications_come_back_and_the_run_finishes(desk: TrainingDesk, undisturbed: str) -> None:
    command, run = desk.in_the_middle("start", "--detach")
    agents = {node: body["pid"] for node, body in desk.bodies().items()}
    killed = {node: desk.application(node) for node in NODES}
    os.kill(killed["hospital-a"], signal.SIGKILL)
    for node in ("aggregator", "hospital-b"):  # their applications are orphans now
        os.kill(agents[node], signal.SIGKILL)
    wait_until(lambda: not any(map(started_at, killed.values())), what="the end of what the killed left behind")
    assert ended(command)[0] == 0
    assert model(desk) == undisturbed
    assert {desk.says(node)["run"] for node in NODES} == {run}
    assert "ended with signal 9; starts again" in desk.run("logs", "hospital-a")[0]
    came_back = {node for node, body in desk.bodies().items() if body["pid"] != agents[node]}
    assert came_back == {"aggregator", "hospital-b"}
    assert len(desk.processes("-m node_bootstrap.agent")) == 3


def test_a_killed_twin_comes_back_with_the_next_command_and_doubles_nobody(desk: TrainingDesk) -> None:
    agents = {node: body["pid"] for node, body in desk.bodies().items()}
    twin = json.loads((desk.twin / "twin.json").read_text())["pid"]
    os.kill(twin, signal.SIGKILL)
    wait_until(lambda: started_at(twin) is None, what="the end of the twin")
    desk.run("status")
    assert json.loads((desk.twin / "twin.json").read_text())["pid"] != twin
    os.kill(agents["hospital-a"], signal.SIGKILL)  # who brings it back has looked at all of them
    wait_until(
        lambda: desk.bodies().get("hospital-a", {}).get("pid", agents["hospital-a"]) != agents["hospital-a"],
        what="another agent",
    )
    for node in ("aggregator", "hospital-b"):
        assert desk.bodies()[node]["pid"] == agents[node]
    assert len(desk.processes("-m node_bootstrap.agent")) == 3
    assert len(desk.processes("-m infra.local.twin")) == 1


def test_a_wish_that_nobody_can_read_is_told_and_put_right(desk: TrainingDesk) -> None:
    desk.tell("hospital-b", contract.DESIRED, "go")
    assert "desired is not a JSON object" in desk.wait_for("hospital-b", "failed")["reason"]
    desk.run("stop", "hospital-b")
    wait_until(lambda: desk.says("hospital-b")["state"] == "ready", what="a node that is ready")


def test_down_in_the_middle_of_a_run_leaves_no_process_even_of_a_killed_agent(desk: TrainingDesk) -> None:
    assert "waits for hospital-a, hospital-b" in desk.run("start", "server", "--detach")[0]
    left = desk.application("aggregator")
    os.kill(desk.bodies()["aggregator"]["pid"], signal.SIGKILL)
    desk.run("local", "down")
    assert started_at(left) is None
    assert desk.processes() == {}


def next_line(process: subprocess.Popen[str]) -> str:
    """Return the next line that a command says on standard error."""
    assert process.stderr is not None
    return process.stderr.readline()
