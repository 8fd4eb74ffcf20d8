"""A control group for each machine, in which its systemd keeps the limits that its units state.

Groups are the one thing of the twin that is outside its world: a dead twin leaves them, empty, and :func:`sweep`
removes them. Both layouts are known: one tree (version 2), and a tree for each controller (version 1, and
the mix of the two).
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_PREFIX = "federate-twin-"
#: A new group of this controller takes no process until it is given processors; systemd does not use it.
_UNUSED = "cpuset"
_DELEGATED = ("cpu", "io", "memory", "pids")
_POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Group:
    """A machine's group: one folder in each tree."""

    folders: tuple[Path, ...]

    @property
    def procs(self) -> list[Path]:
        """The files to which a process writes its number to enter the group."""
        return [folder / "cgroup.procs" for folder in self.folders]

    def remove(self, timeout_seconds: float = 5.0) -> None:
        """Remove the group, once its last process is gone; what does not go in time is left to :func:`sweep`."""
        _remove(self.folders, timeout_seconds)


def make(tag: str, name: str, trees: Sequence[Path] | None = None) -> Group:
    """Make a machine's group below the twin's.

    Args:
        tag: the twin's.
        name: the machine's.
        trees: where groups may be made; this process's own groups if left out.
    """
    folders = []
    for tree in own_trees() if trees is None else trees:
        folder = tree / f"{_PREFIX}{tag}" / name
        folder.mkdir(parents=True, exist_ok=True)
        for parent in (tree, folder.parent):
            _delegate(parent)
        folders.append(folder)
    return Group(tuple(folders))


def sweep(tag: str, trees: Sequence[Path] | None = None, timeout_seconds: float = 5.0) -> list[Path]:
    """Remove the groups that a dead twin left; return those that still hold a process.

    Args:
        tag: the twin's.
        trees: see :func:`make`.
        timeout_seconds: how long its last processes may take to be gone.
    """
    found = [tree / f"{_PREFIX}{tag}" for tree in (own_trees() if trees is None else trees)]
    _remove(found, timeout_seconds)
    return [folder for folder in found if folder.exists()]


def own_trees(process: str = "self") -> list[Path]:
    """Return the folders below which this process may make groups: one, or one for each controller of version 1."""
    groups = Path(f"/proc/{process}/cgroup").read_text()
    mounts = Path(f"/proc/{process}/mountinfo").read_text()
    return trees_in(groups, mounts)


def trees_in(groups: str, mounts: str) -> list[Path]:
    """Read the two files of ``/proc/PID``: ``cgroup`` and ``mountinfo``.

    With one tree, the folder is its root: a group that holds processes, as this process's does, cannot hand its
    controllers on. Source: the kernel's documentation, Control Group v2, "No Internal Process Constraint".
    """
    own = dict(_groups(groups))
    trees = []
    for controllers, root, mounted in _mounts(mounts):
        wanted = [name for name in own if name in controllers]
        if not wanted or _UNUSED in wanted:
            continue
        path = own[wanted[0]]
        is_only_tree = list(own) == [""]
        below = "." if is_only_tree or not path.startswith(root) else os.path.relpath(path, root)
        trees.append(Path(os.path.normpath(mounted / below)))
    return list(dict.fromkeys(trees))


def _groups(text: str) -> Iterator[tuple[str, str]]:
    """Yield controller (or ``name=…``, or nothing for version 2) and the group's path in its tree."""
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            yield controller, path


def _mounts(text: str) -> Iterator[tuple[set[str], str, Path]]:
    """Yield controllers, root and place of each mounted tree."""
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        _, _, _, root, mounted = before.split(" ")[:5]
        if kind == "cgroup2":
            yield {""}, root, Path(mounted)
        elif kind == "cgroup":
            yield set(options.split(",")), root, Path(mounted)


def _delegate(folder: Path) -> None:
    """Hand controllers of version 2 on to the groups below, as far as there are any."""
    with contextlib.suppress(OSError):
        offered = (folder / "cgroup.controllers").read_text().split()
        for controller in _DELEGATED:
            if controller in offered:
                with contextlib.suppress(OSError):
                    (folder / "cgroup.subtree_control").write_text(f"+{controller}")


def _remove(folders: Sequence[Path], timeout_seconds: float) -> None:
    deadline = time.monotonic() + timeout_seconds
    while not _removed(folders) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)


def _removed(folders: Iterable[Path]) -> bool:
    """Remove what can be removed, and the twin's own group with its last machine's; say whether all is gone."""
    left = False
    for top in folders:
        for folder, _, _ in os.walk(top, topdown=False):
            with contextlib.suppress(OSError):
                Path(folder).rmdir()
        if top.exists():
            left = True
        elif top.parent.name.startswith(_PREFIX):
            with contextlib.suppress(OSError):
                top.parent.rmdir()
    return not left
