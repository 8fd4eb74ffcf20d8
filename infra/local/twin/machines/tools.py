"""Programs of the system that machines need, and what to install where one is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from infra.errors import FederateError

#: Program to the Debian package that brings it.
PACKAGES = {
    "ip": "iproute2",
    "mkfs.ext4": "e2fsprogs",
    "mmdebstrap": "mmdebstrap",
    "mount": "mount",
    "nsenter": "util-linux",
    "systemd-nspawn": "systemd-container",
    "umount": "mount",
    "unshare": "util-linux",
}
_TAIL_CHARACTERS = 2000


class CannotHaveMachines(FederateError):
    """This machine, as it is, cannot run nodes with a root of their own."""

    exit_code = 3


class ToolFailed(FederateError):
    """A program of the system ended with an error."""

    exit_code = 3


def require(*programs: str) -> None:
    """Check that this is root and that the programs are there.

    Raises:
        CannotHaveMachines: with every program that is missing, and its package.
    """
    if os.geteuid() != 0:
        raise CannotHaveMachines(
            "The depth machines needs root: it mounts file systems and starts systemd.",
            remedy="Run it as root, or use the depth network, which needs none.",
        )
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        packages = sorted({PACKAGES.get(program, program) for program in missing})
        raise CannotHaveMachines(
            f"The depth machines needs {', '.join(missing)}, which this machine lacks.",
            remedy=f"On Debian and Ubuntu: apt-get install {' '.join(packages)}",
        )


def run(command: Sequence[str | Path], *, doing: str, timeout_seconds: float = 600) -> str:
    """Run a program to its end; return what it wrote to standard output.

    Args:
        command: program and arguments.
        doing: what it is for, as the error says it: ``mount a node's root``.
        timeout_seconds: when to give up.

    Raises:
        ToolFailed: it could not be started, ended with an error, or did not end; with the end of what it said.
    """
    words = [str(word) for word in command]
    try:
        done = subprocess.run(  # noqa: S603 - a list, no shell
            words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=timeout_seconds
        )
    except subprocess.TimeoutExpired:
        raise ToolFailed(f"Could not {doing}: {words[0]} did not end within {timeout_seconds:g} seconds.") from None
    except OSError as error:
        raise ToolFailed(f"Could not {doing}: {error}.") from None
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip())[-_TAIL_CHARACTERS:] or "it said nothing"
        raise ToolFailed(f"Could not {doing}: {words[0]} ended with {done.returncode}: {said}")
    return done.stdout
