"""A shell on a node in a terminal, and with a pipe for one."""

from __future__ import annotations

import os
import pty
import sys
import termios
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

import pytest
from reachable import Reachable, reachable

from infra.nodes.reach.shell import interact
from infra.nodes.remote import Remote


@pytest.fixture
def node(deployed: Mapping[str, Remote], fed: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reachable]:
    with reachable(deployed["hospital-a"], fed) as (made, where):
        monkeypatch.setenv("FEDERATE_TUNNEL", where)
        made.publish()
        yield made


@pytest.fixture
def pipe() -> Iterator[tuple[TextIO, int]]:
    """Standard input that is no terminal, and where it is written from."""
    reads, writes = os.pipe()
    with os.fdopen(reads) as standard_input:
        yield standard_input, writes


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[TextIO, int]]:
    """Standard input that is a terminal, and its user's end."""
    user, program = pty.openpty()
    monkeypatch.setenv("COLUMNS", "101")
    monkeypatch.setenv("LINES", "33")
    with os.fdopen(program) as standard_input:
        yield standard_input, user
    os.close(user)


def shell(node: Reachable, standard_input: TextIO, command: str | None = None) -> int:
    """Run a shell with another standard input than the one that pytest puts back before each test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", standard_input)
        return interact(node.remote, command)


def test_what_is_typed_is_run_and_the_exit_code_of_the_shell_is_passed_on(
    node: Reachable, terminal: tuple[TextIO, int], capfd: pytest.CaptureFixture[str]
) -> None:
    standard_input, user = terminal
    before = termios.tcgetattr(standard_input)
    os.write(user, b"echo typed; exit 130\n")
    assert shell(node, standard_input) == 130
    assert capfd.readouterr().out == "typed\n"
    assert node.ssh.pty == (101, 33)
    assert termios.tcgetattr(standard_input) == before


def test_keys_reach_the_node_as_they_are_pressed_ctrl_c_included(
    node: Reachable, terminal: tuple[TextIO, int], capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    standard_input, user = terminal
    reading = tmp_path / "reading"

    def press() -> None:
        # The stand-in reads a pipe, so that Ctrl-C is a byte like any other to it: that it is not lost is what counts.
        os.write(user, f'touch {reading}; read -r pressed; echo "$pressed" | od -An -c; exit 0\n'.encode())
        # Until this end makes no signal of a key any more; and until the line is run: a shell takes all that has come
        # as its own input, so that what comes together with the line is never read by ``read``.
        while termios.tcgetattr(standard_input)[3] & termios.ISIG or not reading.exists():
            threading.Event().wait(0.01)
        os.write(user, b"\x03\n")

    pressing = threading.Thread(target=press)
    pressing.start()
    assert shell(node, standard_input) == 0
    pressing.join(5)
    assert "003" in capfd.readouterr().out


def test_a_command_gets_standard_input_and_both_outputs_stay_apart(
    node: Reachable, pipe: tuple[TextIO, int], capfd: pytest.CaptureFixture[str]
) -> None:
    standard_input, writes = pipe
    os.write(writes, b"fed\n")
    os.close(writes)
    assert shell(node, standard_input, "cat; echo told >&2; exit 3") == 3
    assert tuple(capfd.readouterr()) == ("fed\n", "told\n")
    assert node.ssh.pty is None


def test_a_command_that_ends_does_not_wait_for_more_input(
    node: Reachable, pipe: tuple[TextIO, int], capfd: pytest.CaptureFixture[str]
) -> None:
    standard_input, writes = pipe
    assert shell(node, standard_input, "echo done") == 0
    assert capfd.readouterr().out == "done\n"
    os.close(writes)
