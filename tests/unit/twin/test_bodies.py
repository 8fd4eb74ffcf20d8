"""A body is a process group of the node's own: found again after a crash, and ended with all that it started."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.local import process
from infra.local.twin.bodies import Bodies
from infra.local.twin.deployed import Instance

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "of-the-node", "AWS_SECRET_ACCESS_KEY": "x", "AWS_SESSION_TOKEN": "x"}
DEADLINE_SECONDS = 20
#: An agent with an application, which it leaves behind when it is killed.
AGENT = "import subprocess, sys; c = subprocess.Popen(['sleep', '60']); print(c.pid, flush=True); sys.stdin.read()"


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    return process.started_at(pid) is not None


@pytest.fixture
def bodies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bodies]:
    """No bodies yet; AWS does not answer their agents."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_PROFILE", "of-the-operator")
    monkeypatch.setenv("WANDB_API_KEY", "of-the-operator")
    made = Bodies(tmp_path)
    yield made
    made.end_all()


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A recorded body that stands for an agent, and the pid of what it has started."""
    leader = subprocess.Popen(
        [sys.executable, "-c", AGENT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert leader.stdout is not None
    child = int(leader.stdout.readline())
    began = process.started_at(leader.pid)
    body = {"node": "hospital-a", "federation": "fed", "account": "1", "pid": leader.pid, "began": began}
    (tmp_path / "bodies.json").write_text(json.dumps({"i-a": body}))
    yield leader, child
    for pid in (child, leader.pid):
        if is_alive(pid):
            os.kill(pid, signal.SIGKILL)
    leader.communicate()


def test_a_node_has_its_own_credentials_and_nothing_of_the_operators(
    bodies: Bodies, instance: Instance, tmp_path: Path
) -> None:
    bodies.start(instance, CREDENTIALS)
    pid = bodies.as_dict()["i-a"]["pid"]
    environment = Path(f"/proc/{pid}/environ")
    if environment.exists():
        wait_until(environment.read_text)
        given = dict(part.split("=", 1) for part in environment.read_text().strip("\0").split("\0"))
        assert given["AWS_ACCESS_KEY_ID"] == "of-the-node"
        assert given["HOME"] == str(tmp_path / "nodes" / "i-a")
        assert "of-the-operator" not in given.values()
    assert json.loads((tmp_path / "nodes" / "i-a" / "node.json").read_text()) == instance.facts
    for made in ("nodes/i-a", "volumes/vol-a"):
        assert (tmp_path / made).stat().st_mode & 0o077 == 0


def test_a_body_is_found_again_and_ended_by_another_process(bodies: Bodies, instance: Instance, tmp_path: Path) -> None:
    bodies.start(instance, CREDENTIALS)
    pid = bodies.as_dict()["i-a"]["pid"]
    found = Bodies(tmp_path)
    assert (list(found), found.is_alive("i-a")) == (["i-a"], True)
    found.end("i-a")
    assert not is_alive(pid)
    assert list(Bodies(tmp_path)) == []


def test_what_an_agent_started_ends_with_it(agent: tuple[subprocess.Popen[str], int], tmp_path: Path) -> None:
    leader, child = agent
    Bodies(tmp_path).end("i-a")
    wait_until(lambda: not is_alive(child))
    assert not is_alive(leader.pid)


def test_what_a_killed_agent_left_behind_ends_as_well(agent: tuple[subprocess.Popen[str], int], tmp_path: Path) -> None:
    leader, child = agent
    leader.kill()
    bodies = Bodies(tmp_path)
    wait_until(lambda: not bodies.is_alive("i-a"))
    assert is_alive(child)
    bodies.end("i-a")
    wait_until(lambda: not is_alive(child))


def test_a_process_that_took_over_the_number_is_never_ended(
    agent: tuple[subprocess.Popen[str], int], tmp_path: Path
) -> None:
    leader, child = agent
    recorded = json.loads((tmp_path / "bodies.json").read_text())
    recorded["i-a"]["began"] = "another time"
    (tmp_path / "bodies.json").write_text(json.dumps(recorded))
    Bodies(tmp_path).end("i-a")
    assert is_alive(leader.pid)
    assert is_alive(child)


def test_what_exists_no_more_leaves_no_folder(bodies: Bodies, tmp_path: Path) -> None:
    for made in ("nodes/i-here", "nodes/i-gone", "volumes/vol-here", "volumes/vol-gone"):
        (tmp_path / made / "below").mkdir(parents=True)
    bodies.forget({"i-here"}, {"vol-here"})
    left = {f"{path.parent.name}/{path.name}" for path in tmp_path.glob("*/*")}
    assert left == {"nodes/i-here", "volumes/vol-here"}


def test_the_end_of_all_leaves_nothing(bodies: Bodies, instance: Instance, tmp_path: Path) -> None:
    bodies.start(instance, CREDENTIALS)
    bodies.port_for("eni-1")
    pid = bodies.as_dict()["i-a"]["pid"]
    bodies.end_all()
    assert not is_alive(pid)
    assert list(tmp_path.iterdir()) == []


def test_an_address_keeps_its_port_and_has_it_alone(bodies: Bodies, tmp_path: Path) -> None:
    ports = [bodies.port_for("eni-1"), bodies.port_for("eni-2"), Bodies(tmp_path).port_for("eni-1")]
    assert ports[0] == ports[2] != ports[1]


def test_a_port_of_somebody_else_is_not_taken(bodies: Bodies, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = taken.getsockname()[1]
        monkeypatch.setattr("infra.local.twin.bodies._PORTS", range(number, number + 1))
        with pytest.raises(OSError, match="no port of"):
            bodies.port_for("eni-1")
    assert bodies.port_for("eni-1") == number


@pytest.mark.parametrize("content", ["", "{", "[]", '{"i-a": {}}', '{"i-a": 7}'])
def test_a_damaged_record_is_no_body(tmp_path: Path, content: str) -> None:
    (tmp_path / "bodies.json").write_text(content)
    assert list(Bodies(tmp_path)) == []


def test_a_power_cut_takes_the_agent_and_what_it_started_at_once(
    agent: tuple[subprocess.Popen[str], int], tmp_path: Path
) -> None:
    leader, child = agent
    bodies = Bodies(tmp_path)
    assert bodies.processes("i-a") == (leader.pid, (child,))
    bodies.kill("i-a")
    wait_until(lambda: not is_alive(child) and not is_alive(leader.pid))
    assert list(bodies) == []
