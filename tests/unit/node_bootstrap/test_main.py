"""The agent's process outlives an account that is silent and a disk that is full, and its own failure is not lost."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from fake_node import FACTS, FakeAccount

from node_bootstrap.agent import __main__ as agent
from node_bootstrap.agent.application_log import ApplicationLog

Steps = list[Callable[[], object]]


class Scripted:
    """In place of the loop: each step does what is next; the last ends the process as a signal would."""

    def __init__(self, steps: Steps, folder: Path) -> None:
        self.steps, self.application_log, self.closed = steps, ApplicationLog(folder / "application.log"), 0
        self.standing: dict[str, Any] = {}

    def step(self) -> None:
        self.steps.pop(0)()

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def run(account: FakeAccount, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Steps], Any]]:
    """Run the agent with scripted steps; return its exit code and the loop."""
    handlers: dict[int, Callable[..., object]] = {}
    monkeypatch.setattr("signal.signal", handlers.__setitem__)
    monkeypatch.setattr(agent, "Account", lambda _: account)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    facts = tmp_path / "node.json"
    facts.write_text(json.dumps(FACTS))

    def main(steps: Steps) -> tuple[int, Scripted]:
        scripted = Scripted([*steps, lambda: handlers[15](15, None)], tmp_path)
        monkeypatch.setattr(agent, "Loop", lambda *_, **__: scripted)
        folders = ["--root", str(tmp_path / "root"), "--state", str(tmp_path / "state")]
        return agent.main(["--facts", str(facts), *folders, "--poll", "0"]), scripted

    main.signal = lambda: handlers[15](15, None)  # type: ignore[attr-defined]
    logger = logging.getLogger("node_bootstrap")
    before = list(logger.handlers)
    level = logger.level
    logger.setLevel(logging.INFO)
    yield main
    logger.setLevel(level)
    for handler in set(logger.handlers) - set(before):
        logger.removeHandler(handler)


def fails(error: BaseException) -> Callable[[], object]:
    def step() -> None:
        raise error

    return step


def test_a_signal_ends_it_and_its_application(run: Any) -> None:
    code, loop = run([])
    assert (code, loop.closed) == (0, 1)


def test_a_silent_account_is_asked_again(run: Any, account: FakeAccount) -> None:
    silent = EndpointConnectionError(endpoint_url="https://ssm.us-east-1.amazonaws.com")
    code, loop = run([fails(silent), fails(silent), lambda: None])
    assert (code, loop.steps) == (0, [])
    assert len([line for line in account.lines["hospital-a/agent"] if "does not answer" in line]) == 2


def test_a_full_disk_is_heard_of_in_the_log_while_it_is_full(run: Any, account: FakeAccount) -> None:
    heard: list[int] = []
    full = OSError(28, "No space left on device")
    run([fails(full), lambda: heard.append(len(account.lines["hospital-a/agent"]))])
    assert heard == [1]
    assert "No space left on device" in account.lines["hospital-a/agent"][0]


def test_a_fault_of_its_own_ends_it_with_the_reason_in_the_log(run: Any, account: FakeAccount) -> None:
    code, loop = run([fails(KeyError("a fault of ours"))])
    assert (code, loop.closed) == (70, 1)
    assert "a fault of ours" in "".join(account.lines["hospital-a/agent"])
    assert "Traceback" in "".join(account.lines["hospital-a/agent"])


def test_a_signal_breaks_off_a_step_that_takes_long_and_the_last_lines_are_sent(run: Any, account: FakeAccount) -> None:
    went_on: list[bool] = []

    def fetches_for_hours() -> None:
        logging.getLogger("node_bootstrap").warning("said before the signal")
        run.signal()
        went_on.append(True)

    code, loop = run([fetches_for_hours])
    assert went_on == []
    assert (code, loop.closed) == (0, 1)
    assert "WARNING said before the signal" in account.lines["hospital-a/agent"]
    assert account.lines["hospital-a/agent"][-1] == "INFO the agent ends"


def test_an_account_that_is_slow_holds_up_the_end_for_a_while_only(
    run: Any, account: FakeAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = threading.Event()
    monkeypatch.setattr(agent, "_LAST_WORDS_SECONDS", 0.05)

    def slow(*_: object) -> None:
        if threading.current_thread() is not threading.main_thread():
            answers.wait(30)

    monkeypatch.setattr(account, "log", slow)
    assert run([])[0] == 0
    answers.set()


def test_folders_that_cannot_be_made_are_told_as_the_nodes_state(
    run: Any, account: FakeAccount, tmp_path: Path
) -> None:
    (tmp_path / "state").write_text("a file where the state volume should be")
    assert run([])[0] == 2
    assert account.state["state"] == "failed"
    assert "the agent cannot use its folders" in account.state["reason"]
