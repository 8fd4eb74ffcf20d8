"""Each ailment does one thing inside a machine, and says so where it cannot."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from types import SimpleNamespace

import pytest

from infra.local.twin.machines import ailments


class Inside:
    """A machine that writes down what is run in it."""

    def __init__(self, code: int = 0) -> None:
        self.ran: list[list[str]] = []
        self.code = code
        self.spec = SimpleNamespace(identity=SimpleNamespace(instance="i-1"))

    def enter(self, command: Sequence[str], *, timeout_seconds: float) -> subprocess.CompletedProcess[str]:
        self.ran.append(list(command))
        return subprocess.CompletedProcess(command, self.code, "", "no such unit")


@pytest.mark.parametrize(
    ("ailment", "signal"), [(ailments.kill, "SIGKILL"), (ailments.freeze, "SIGSTOP"), (ailments.thaw, "SIGCONT")]
)
def test_a_signal_reaches_every_process_of_the_unit(ailment, signal) -> None:
    machine = Inside()
    ailment(machine, "x.service")
    assert machine.ran == [["systemctl", "kill", "--kill-whom=all", f"--signal={signal}", "x.service"]]


@pytest.mark.parametrize(("seconds", "said"), [(90, '"FAKETIME=+90"'), (-3600, '"FAKETIME=-3600"')])
def test_a_skew_is_told_to_the_unit_alone_which_is_started_again(seconds: int, said: str) -> None:
    machine = Inside()
    ailments.skew(machine, seconds)
    assert any(said in word for command in machine.ran for word in command)
    assert machine.ran[-2:] == [["systemctl", "daemon-reload"], ["systemctl", "restart", ailments.AGENT_UNIT]]


def test_what_takes_it_away_undoes_what_did_it() -> None:
    machine = Inside()
    ailments.skew(machine, 5)
    written = machine.ran[1][-1]
    ailments.set_right(machine)
    assert ["rm", "-f", written] in machine.ran
    ailments.fill(machine, "/disk")
    filler = machine.ran[-1][-1]
    ailments.empty(machine, "/disk")
    assert machine.ran[-1] == ["rm", "-f", filler]


def test_an_ailment_that_does_not_come_about_is_an_error_with_the_machines_words() -> None:
    with pytest.raises(ailments.FaultFailed, match=r"Could not send SIGKILL to .* in i-1: no such unit"):
        ailments.kill(Inside(code=1))
