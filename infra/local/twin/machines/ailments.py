"""What can befall a machine from inside, each with what takes it away again.

A killed unit is started again by systemd, and a rebooted machine comes up again: nothing takes those away.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

from infra.errors import FederateError
from infra.local.twin.machines.machine import Machine

AGENT_UNIT = "federate-agent.service"
#: What the agent writes besides the state volume, and the state volume.
ROOT_DISK, STATE_VOLUME = "/var/lib/federate", "/var/lib/federate/state"

_FILLER = ".federate-twin-fills-this-disk"
#: Takes all that is left, in pieces ever smaller; no byte of it is really written.
_FILL = """\
import os, sys
file = os.open(sys.argv[1], os.O_CREAT | os.O_RDWR, 0o600)
size, piece = os.fstat(file).st_size, 1 << 34
while piece >= 4096:
    try:
        os.posix_fallocate(file, size, piece)
        size += piece
    except OSError:
        piece //= 2
"""
_SKEW_NAME = "federate-twin-clock.conf"
#: The loader puts the machine's own library folder for $LIB.
_SKEW = """\
[Service]
Environment="LD_PRELOAD=/usr/$LIB/faketime/libfaketimeMT.so.1" "FAKETIME={seconds:+d}" FAKETIME_DONT_FAKE_MONOTONIC=1
"""


class FaultFailed(FederateError):
    """What was to befall a machine did not."""

    exit_code = 4


def kill(machine: Machine, unit: str = AGENT_UNIT) -> None:
    """Kill a unit's processes, all at once and without warning (SIGKILL).

    Raises:
        NotRunning: the machine is off; likewise for every function here.
        FaultFailed: it does not run; likewise for every function here.
    """
    _signal(machine, unit, "SIGKILL")


def freeze(machine: Machine, unit: str = AGENT_UNIT) -> None:
    """Stop a unit's processes where they stand (SIGSTOP); to the others it looks like a node that hangs."""
    _signal(machine, unit, "SIGSTOP")


def thaw(machine: Machine, unit: str = AGENT_UNIT) -> None:
    """Let a frozen unit's processes go on."""
    _signal(machine, unit, "SIGCONT")


def fill(machine: Machine, folder: str = ROOT_DISK) -> None:
    """Fill the disk that a folder is on, so that nothing more can be written; this machine's own disk is not filled."""
    _do(machine, ["python3", "-c", _FILL, str(PurePosixPath(folder) / _FILLER)], "fill the disk")


def empty(machine: Machine, folder: str = ROOT_DISK) -> None:
    """Give back what :func:`fill` took."""
    _do(machine, ["rm", "-f", str(PurePosixPath(folder) / _FILLER)], "give the disk back")


def skew(machine: Machine, seconds: int, unit: str = AGENT_UNIT) -> None:
    """Set the clock that a unit sees this far ahead, or behind if negative; the unit is started again.

    The kernel's clock is everybody's, so it is the unit's alone: libfaketime tells it another time of day.
    """
    folder = _drop_ins(unit)
    _do(machine, ["mkdir", "-p", folder], "skew the clock")
    text = _SKEW.format(seconds=seconds)
    _do(machine, ["sh", "-c", 'printf %s "$1" > "$2"', "sh", text, f"{folder}/{_SKEW_NAME}"], "skew the clock")
    _restart(machine, unit)


def set_right(machine: Machine, unit: str = AGENT_UNIT) -> None:
    """Take a skew away; the unit is started again."""
    _do(machine, ["rm", "-f", f"{_drop_ins(unit)}/{_SKEW_NAME}"], "set the clock right")
    _restart(machine, unit)


def _drop_ins(unit: str) -> str:
    return f"/etc/systemd/system/{unit}.d"


def _restart(machine: Machine, unit: str) -> None:
    _do(machine, ["systemctl", "daemon-reload"], "have systemd read its units again")
    _do(machine, ["systemctl", "restart", unit], f"start {unit} again")


def _signal(machine: Machine, unit: str, signal: str) -> None:
    _do(machine, ["systemctl", "kill", "--kill-whom=all", f"--signal={signal}", unit], f"send {signal} to {unit}")


def _do(machine: Machine, command: Sequence[str], what: str) -> None:
    done = machine.enter(command, timeout_seconds=60)
    if done.returncode != 0:
        said = done.stderr.strip() or done.stdout.strip() or "it said nothing"
        raise FaultFailed(f"Could not {what} in {machine.spec.identity.instance}: {said}")
