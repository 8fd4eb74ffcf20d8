"""How much of a body nodes get, and what a machine needs for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from infra.errors import FederateError

_SYSTEM_FOLDERS = ("/usr/sbin", "/sbin", "/usr/local/sbin")
_TRY = (
    "import ctypes, os, sys\n"
    "from infra.local.twin.world import inside, outside\n"
    "sys.exit(outside.live(('127.0.0.1', 9), lambda _: os.system(sys.argv[1]) and 1))\n"
)
_MAKES_A_NETWORK = (
    "ip netns add a && ip netns add b && ip link add x netns a type veth peer name y netns b && "
    "ip -n a link add name bridge0 type bridge && ip netns exec a nft add table inet t && "
    "ip netns exec a nft add chain inet t c '{ type filter hook forward priority 0; }' && "
    "ip netns exec a nft add rule inet t c ct state established accept"
)
_REASON_CHARACTERS = 300


class Depth(StrEnum):
    """How deep the twin goes."""

    PROCESSES = "processes"
    NETWORK = "network"
    MACHINES = "machines"


DEFAULT = Depth.PROCESSES


class CannotGoSoDeep(FederateError):
    """This machine lacks something that the depth needs."""

    exit_code = 4


class UnknownDepth(FederateError):
    """There is no such depth."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Missing:
    """Something that a depth needs and this machine lacks."""

    what: str
    remedy: str

    def __str__(self) -> str:
        """Return it as a line for a person."""
        return f"{self.what} {self.remedy}".strip()


def parse(text: str) -> Depth:
    """Return the depth of this name.

    Raises:
        UnknownDepth: there is none.
    """
    try:
        return Depth(text)
    except ValueError:
        raise UnknownDepth(
            f"There is no depth {text!r}.", remedy=f"There are {', '.join(Depth)}; docs/local.md tells them apart."
        ) from None


def missing(depth: Depth) -> tuple[Missing, ...]:
    """Return what this machine lacks for a depth; nothing where it can be reached.

    Whether namespaces, bridges and packet filters may be made is tried, in a world that ends at once: settings and
    modules of a kernel that forbid them are many, and the try is exact.
    """
    if depth is Depth.PROCESSES:
        return ()
    if sys.platform != "linux":
        return (Missing(f"The depth {depth} needs Linux; this is {sys.platform}.", "Use the depth processes."),)
    found = [*_tools({"ip": "iproute2", "nft": "nftables", "nsenter": "util-linux", "unshare": "util-linux"})]
    if depth is Depth.MACHINES:
        if os.geteuid() != 0:
            found.append(Missing("The depth machines needs root.", "Use sudo, or the depth network."))
        found += _tools({"systemd-nspawn": "systemd-container", "mmdebstrap": "mmdebstrap", "mkfs.ext4": "e2fsprogs"})
        found += [
            Missing(f"The kernel knows no {what}.", "Load its module.") for what, path in _KERNEL.items() if not path()
        ]
    return tuple(found) or _tried()


def refuse_unless_possible(depth: Depth) -> None:
    """Make sure that this machine can give nodes such a body.

    Raises:
        CannotGoSoDeep: it cannot; everything that is missing is named.
    """
    lacks = missing(depth)
    if lacks:
        raise CannotGoSoDeep(
            "\n".join([f"The twin cannot have the depth {depth} here:", *(f"  {one}" for one in lacks)]),
            remedy="Nodes can be processes anywhere, which proves less: --depth processes, or --or-processes.",
        )


def with_system_folders(path: str) -> str:
    """Return a search path that holds the folders of system commands, which an ordinary user's often lacks."""
    parts = path.split(os.pathsep)
    return os.pathsep.join([*parts, *(folder for folder in _SYSTEM_FOLDERS if folder not in parts)])


def _tools(wanted: dict[str, str]) -> list[Missing]:
    path = with_system_folders(os.environ.get("PATH", os.defpath))
    packages = {tool: package for tool, package in wanted.items() if shutil.which(tool, path=path) is None}
    return [
        Missing(f"The command {tool} is missing.", f"Debian, Ubuntu: apt-get install {package}.")
        for tool, package in packages.items()
    ]


_KERNEL: dict[str, Callable[[], bool]] = {
    "overlay file system": lambda: "overlay" in Path("/proc/filesystems").read_text().split(),
    "loop device": lambda: Path("/dev/loop-control").exists(),
}


def _tried() -> tuple[Missing, ...]:
    made = subprocess.run(  # noqa: S603 - our own module, and a fixed script
        [sys.executable, "-c", _TRY, _MAKES_A_NETWORK],
        cwd=Path(__file__).parents[3],
        env={**os.environ, "PATH": with_system_folders(os.environ.get("PATH", os.defpath))},
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode == 0:
        return ()
    said = " ".join(made.stderr.split())[-_REASON_CHARACTERS:] or f"the try ended with {made.returncode}"
    remedy = "Run it as root."
    if os.geteuid() != 0:
        remedy = (
            "Run it as root, or let users make namespaces: kernel.unprivileged_userns_clone=1 (Debian), "
            "kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu), user.max_user_namespaces above 0."
        )
    return (Missing(f"Network namespaces cannot be made: {said}.", remedy),)
