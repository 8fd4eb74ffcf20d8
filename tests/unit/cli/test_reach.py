"""``federate ssh``, ``run`` and ``unit`` on the command line: what is run where, and what comes out."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from infra.cli import reach
from infra.cli.main import main
from infra.errors import FederateError
from infra.nodes.reach import NobodyAnswers, Outcome

EXAMPLE = Path(__file__).parents[3] / "federation.yaml"


@dataclass
class Ways:
    """A transport that notes what it is asked, and answers by node."""

    asked: list[tuple[str, str, str, float]] = field(default_factory=list)
    answers: dict[str, Outcome | FederateError] = field(default_factory=dict)
    is_interrupted: bool = False

    def through(self, over: reach.Over, stop: threading.Event) -> Any:
        def run(remote: Any, command: str, timeout: float) -> Outcome:
            self.asked.append((over.value, remote.node.id, command, timeout))
            if self.is_interrupted:
                assert stop.wait(10)
                raise KeyboardInterrupt
            answer = self.answers.get(remote.node.id, Outcome(0, f"of {remote.node.id}\n", ""))
            if isinstance(answer, FederateError):
                raise answer
            return answer

        return SimpleNamespace(run=run, as_root="sudo -n " if over is reach.Over.SSH else "")


def remote(id_: str) -> Any:
    return SimpleNamespace(node=SimpleNamespace(id=id_, profile=id_), where=id_)


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> Ways:
    made = Ways()
    monkeypatch.setattr(reach, "_transport", made.through)
    monkeypatch.setattr(reach, "remotes_of", lambda _, ids: tuple(remote(id_) for id_ in ids))
    return made


@pytest.fixture
def federate(capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(["-f", str(EXAMPLE), *arguments])
        return code, *capfd.readouterr()

    return run


def test_several_words_reach_the_node_as_the_words_that_they_were(ways: Ways, federate: Any) -> None:
    federate("run", "hospital-a", "--", "ls", "-l", "a file; reboot")
    assert ways.asked == [("ssm", "hospital-a", "ls -l 'a file; reboot'", 60.0)]


def test_a_single_word_is_a_line_of_shell(ways: Ways, federate: Any) -> None:
    federate("run", "hospital-a", "--over", "ssh", "--timeout", "5", "--", "ls | wc -l")
    assert ways.asked == [("ssh", "hospital-a", "ls | wc -l", 5.0)]


def test_what_follows_the_dashes_is_no_option_of_this_command(ways: Ways, federate: Any) -> None:
    federate("run", "hospital-a", "--", "grep", "--over", "--", "x")
    assert ways.asked == [("ssm", "hospital-a", "grep --over -- x", 60.0)]


def test_one_nodes_output_and_exit_code_are_passed_on_as_they_are(ways: Ways, federate: Any) -> None:
    ways.answers["hospital-a"] = Outcome(130, "out", "err")
    assert federate("run", "hospital-a", "--", "x") == (130, "out", "err")


def test_lines_of_several_nodes_say_whose_they_are_and_a_failure_of_one_is_told(ways: Ways, federate: Any) -> None:
    ways.answers["hospital-b"] = Outcome(3, "no end", "")
    code, out, _ = federate("run", "hospital-a", "hospital-b", "--", "x")
    assert code == 6
    assert out == "hospital-a | of hospital-a\nhospital-b | no end\n"


def test_a_node_that_does_not_answer_keeps_no_other_from_being_asked(ways: Ways, federate: Any) -> None:
    ways.answers["hospital-a"] = NobodyAnswers(remote("hospital-a"), "there is no SSH server", remedy="Look.")
    code, out, err = federate("run", "hospital-a", "hospital-b", "--", "x")
    assert (code, out) == (6, "hospital-b | of hospital-b\n")
    assert "Nobody answers on hospital-a: there is no SSH server." in err


def test_one_node_that_does_not_answer_is_the_commands_error(ways: Ways, federate: Any) -> None:
    ways.answers["hospital-a"] = NobodyAnswers(remote("hospital-a"), "there is no SSH server", remedy="Look.")
    code, _, err = federate("run", "hospital-a", "--", "x")
    assert (code, err) == (4, "Nobody answers on hospital-a: there is no SSH server.\n  Look.\n")


def test_ctrl_c_ends_what_runs_on_all_nodes(ways: Ways, federate: Any) -> None:
    ways.is_interrupted = True
    # The answer of the first node is waited for in this thread; Ctrl-C arrives there.
    threading.Timer(0.3, lambda: signal.raise_signal(signal.SIGINT)).start()
    code, _, err = federate("run", "hospital-a", "hospital-b", "--", "sleep", "100")
    assert (code, err) == (130, "Stopped. The same command goes on where it ended.\n")
    assert len(ways.asked) == 2


def test_a_script_gets_an_object_by_node(ways: Ways, federate: Any) -> None:
    ways.answers["hospital-b"] = NobodyAnswers(remote("hospital-b"), "it is stopped", remedy="Look.")
    code, out, _ = federate("--json", "run", "hospital-a", "hospital-b", "--", "x")
    found = json.loads(out)
    assert code == 6
    assert found["hospital-a"] == {"exit_code": 0, "stdout": "of hospital-a\n", "stderr": ""}
    assert found["hospital-b"]["exit_code"] == 4


@pytest.mark.parametrize("arguments", [("run", "hospital-a"), ("run", "hospital-a", "--")])
def test_no_command_is_an_error_that_says_where_it_belongs(ways: Ways, federate: Any, arguments: Any) -> None:
    code, _, err = federate(*arguments)
    assert (code, "federate run hospital-a -- uptime" in err, ways.asked) == (2, True, [])


@pytest.mark.parametrize(
    ("over", "line"),
    [("ssm", "systemctl restart federate-agent.service"), ("ssh", "sudo -n systemctl restart federate-agent.service")],
)
def test_the_unit_is_restarted_as_root(ways: Ways, federate: Any, over: str, line: str) -> None:
    assert federate("unit", "restart", "hospital-a", "--over", over)[0] == 0
    assert ways.asked == [(over, "hospital-a", line, 60.0)]


def test_an_action_that_the_unit_has_not_is_refused(ways: Ways, federate: Any) -> None:
    code, _, err = federate("unit", "mask", "hospital-a")
    assert (code, "start, stop, restart, status, logs" in err, ways.asked) == (2, True, [])


def test_a_shell_is_on_one_node(ways: Ways, federate: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach, "remotes_of", lambda *_: (remote("hospital-a"), remote("hospital-b")))
    code, _, err = federate("ssh", "clients")
    assert (code, "hospital-a, hospital-b" in err) == (2, True)


def test_the_exit_code_of_a_shell_is_passed_on_130_included(
    ways: Ways, federate: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.nodes.reach.shell.interact", lambda *_: 130)
    assert federate("ssh", "hospital-a") == (130, "", "")


@pytest.mark.parametrize("command", ["ssh", "run", "unit"])
def test_each_command_has_an_example(federate: Any, command: str) -> None:
    code, out, _ = federate(command, "--help")
    assert (code, f"Example: federate {command}" in out) == (0, True)
