"""The command that boots a root: systemd-nspawn, in the network of the node's interface."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from infra.local.twin.machines.config import INIT_PATH

#: What systemd, as the first process, takes for "power off" and "reboot".
#: Source: systemd(1), "Signals".
POWER_OFF = signal.SIGRTMIN + 4
REBOOT = signal.SIGRTMIN + 5
#: How systemd-nspawn ends where the machine inside wants to be booted again.
REBOOTED = 133

#: Enters the control groups, whose files stand before "--", and becomes the command behind it.
_ENTER_GROUPS = 'while [ "$1" != -- ]; do echo 0 > "$1" || exit 70; shift; done; shift; exec "$@"'


def boot_command(
    *, name: str, root: Path, network: Path, devices: Mapping[str, Path], files: Mapping[str, Path]
) -> list[str]:
    """Return the command that boots a root.

    Args:
        name: the machine's.
        root: mounted.
        network: file of the network namespace.
        devices: name of a block device inside, ``/dev/sdf`` say, to the one outside.
        files: path inside to a file outside that is shown there, and cannot be written.
    """
    return [
        "systemd-nspawn",
        "--quiet",
        "--settings=no",
        # No machine manager is asked, and the group in which it is started is the machine's.
        "--register=no",
        "--keep-unit",
        f"--machine={name}",
        f"--directory={root}",
        f"--network-namespace-path={network}",
        "--resolv-conf=off",
        "--timezone=off",
        "--link-journal=no",
        "--console=read-only",
        "--setenv=SYSTEMD_COLORS=0",
        f"--kill-signal={POWER_OFF}",
        # Or a node's root could make itself the device file of another node's disk, and read it.
        "--drop-capability=CAP_MKNOD",
        *(f"--bind={outside}:{inside}" for inside, outside in devices.items()),
        *(f"--bind-ro={outside}:{inside}" for inside, outside in files.items()),
        INIT_PATH,
    ]


def in_groups(procs: Sequence[Path], command: Sequence[str]) -> list[str]:
    """Return the command that enters control groups first.

    Args:
        procs: the groups' ``cgroup.procs``.
        command: what to run there.
    """
    return ["sh", "-c", _ENTER_GROUPS, "sh", *(str(path) for path in procs), "--", *command]


def enter_command(leader: int, command: Sequence[str]) -> list[str]:
    """Return the command that runs something inside a machine, as root.

    Args:
        leader: the machine's first process, as it is numbered outside.
        command: program and arguments.
    """
    clean = ["env", "--ignore-environment", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "HOME=/root"]
    return ["nsenter", f"--target={leader}", "--all", "--root", "--wd", "--", *clean, *command]
