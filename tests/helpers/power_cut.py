"""What a folder may look like after a power cut: every state that POSIX allows, at every step of what was written.

The operations of a real write are recorded as the process does them. From each prefix of them folders are derived:
what was fsynced is there; names that were made, renamed or deleted and not fsynced with their folder are there or not,
in any combination; data that was not fsynced is lost, torn at any length, or zeros.
"""

from __future__ import annotations

import builtins
import copy
import io
import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

World = dict[str, bytes]

_TEARS = 40


@dataclass(frozen=True)
class Step:
    """One operation: a name that comes, moves or goes, data that reaches the kernel, or an fsync.

    Attributes:
        kind: ``name``, ``rename``, ``unlink``, ``data``, ``fsync`` (of a file) or ``fsync folder``.
        inode: the file, numbered by the recorder.
        name: the name, the new one of a rename.
        old: the old name of a rename.
        content: all that the file holds for the kernel from now on.
    """

    kind: str
    inode: int = 0
    name: str = ""
    old: str = ""
    content: bytes = b""


@dataclass
class Disk:
    """What is durable, and what is only on its way."""

    names: dict[str, int]
    data: dict[int, bytes]
    volatile_names: list[Step] = field(default_factory=list)
    volatile_data: dict[int, bytes] = field(default_factory=dict)

    def take(self, step: Step) -> None:
        """Go on by one operation."""
        if step.kind == "fsync folder":
            self.names = renamed(self.names, self.volatile_names)
            self.volatile_names = []
        elif step.kind == "fsync":
            self.data[step.inode] = self.volatile_data.pop(step.inode, self.data.get(step.inode, b""))
        elif step.kind == "data":
            self.volatile_data[step.inode] = step.content
        else:
            self.volatile_names.append(step)

    def worlds(self) -> Iterator[World]:
        """Yield every folder that may be found if the power goes now."""
        for count in range(len(self.volatile_names) + 1):
            for chosen in itertools.combinations(self.volatile_names, count):
                names = renamed(self.names, chosen)
                choices = [list(self._contents(inode)) for inode in names.values()]
                for contents in itertools.product(*choices):
                    yield dict(zip(names, contents, strict=True))

    def _contents(self, inode: int) -> Iterator[bytes]:
        durable = self.data.get(inode, b"")
        yield durable
        if inode not in self.volatile_data:
            return
        whole = self.volatile_data[inode]
        kept = len(durable) if whole.startswith(durable) else 0  # what is only added to is not torn
        added = len(whole) - kept
        lengths = {added * part // _TEARS for part in range(_TEARS + 1)} | {1, added - 1}
        for length in sorted(kept + part for part in lengths if 0 <= part <= added):
            yield whole[:length]
            yield whole[:length] + bytes(len(whole) - length)


def renamed(names: dict[str, int], steps: Any) -> dict[str, int]:
    """Return the names after some operations on them."""
    found = dict(names)
    for step in steps:
        found.pop(step.old, None)
        if step.kind == "unlink":
            found.pop(step.name, None)
        else:
            found[step.name] = step.inode
    return found


def disk_of(folder: Path) -> Disk:
    """Return a disk that durably holds what is in a folder now."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    return Disk(
        {path.name: number for number, path in enumerate(files)},
        {number: path.read_bytes() for number, path in enumerate(files)},
    )


def all_worlds(before: Disk, steps: list[Step]) -> Iterator[tuple[bool, World]]:
    """Yield every folder that a cut during the steps may leave, once, and whether all steps had been done."""
    disk, seen = copy.deepcopy(before), set()
    for done in range(len(steps) + 1):
        if done:
            disk.take(steps[done - 1])
        for world in disk.worlds():
            key = (done == len(steps), tuple(sorted(world.items())))
            if key not in seen:
                seen.add(key)
                yield done == len(steps), world


def put(world: World, folder: Path) -> Path:
    """Make a folder with these files, and no others."""
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    for name, content in world.items():
        (folder / name).write_bytes(content)
    return folder


class Recorder:
    """Records what is done in a folder while it is installed; whatever module does it, through ``open`` or ``os``."""

    def __init__(self, folder: Path, *, without: str = "") -> None:
        """Record for a folder; operations of the kind ``without`` are taken as if the code did not have them."""
        self._folder, self._without = folder, without
        self._names = dict(disk_of(folder).names)
        self._next = len(self._names)
        self._open: dict[int, int | None] = {}
        self.steps: list[Step] = []

    def install(self, patch: pytest.MonkeyPatch) -> None:
        """Record from now on, until the patch is undone."""
        real = {name: getattr(os, name) for name in ("open", "close", "fsync", "replace", "unlink")}
        opened = io.open

        def open_(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
            found = opened(file, mode, *args, **kwargs)
            if not self._is_here(file) or not set(mode) & set("wax+"):
                return found
            inode = self._begin(Path(file).name, found.fileno(), empty="w" in mode)
            return _Watched(found, lambda: self._data(inode, Path(file)))

        def os_open(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
            handle: int = real["open"](path, flags, *args, **kwargs)
            if not isinstance(path, int) and Path(path) == self._folder:
                self._open[handle] = None
            elif self._is_here(path) and flags & (os.O_WRONLY | os.O_RDWR):
                raise NotImplementedError("the recorder follows files that open() opens, not os.open()")
            return handle

        def close(handle: int) -> None:
            self._open.pop(handle, None)
            real["close"](handle)

        def fsync(handle: int) -> None:
            real["fsync"](handle)
            if handle in self._open:
                inode = self._open[handle]
                self._add(Step("fsync folder") if inode is None else Step("fsync", inode))

        def move(old: Any, new: Any, **kwargs: Any) -> None:
            real["replace"](old, new, **kwargs)
            inode = self._names.pop(Path(old).name)
            self._names[Path(new).name] = inode
            self._add(Step("rename", inode, Path(new).name, old=Path(old).name))

        def unlink(path: Any, **kwargs: Any) -> None:
            real["unlink"](path, **kwargs)
            if self._is_here(path):
                self._add(Step("unlink", self._names.pop(Path(path).name), Path(path).name))

        for owner, name, new in (
            (io, "open", open_),
            (builtins, "open", open_),
            (os, "open", os_open),
            (os, "close", close),
            (os, "fsync", fsync),
            (os, "replace", move),
            (os, "rename", move),
            (os, "unlink", unlink),
            (os, "remove", unlink),
        ):
            patch.setattr(owner, name, new)

    def _begin(self, name: str, handle: int, *, empty: bool) -> int:
        is_new = name not in self._names
        if is_new:
            self._names[name], self._next = self._next, self._next + 1
            self._add(Step("name", self._names[name], name))
        inode = self._names[name]
        self._open[handle] = inode
        if empty and not is_new:
            self._add(Step("data", inode))
        return inode

    def _data(self, inode: int, path: Path) -> None:
        """Note what the kernel has of a file, which a buffer may still hold back."""
        content = path.read_bytes()
        known = [step for step in self.steps if step.inode == inode and step.kind == "data"]
        if content != (known[-1].content if known else None):
            self._add(Step("data", inode, content=content))

    def _add(self, step: Step) -> None:
        if step.kind != self._without:
            self.steps.append(step)

    def _is_here(self, path: Any) -> bool:
        return isinstance(path, str | Path) and Path(path).parent == self._folder


class _Watched:
    """A file that says when its content may have reached the kernel."""

    def __init__(self, file: Any, changed: Callable[[], None]) -> None:
        self._file, self._changed = file, changed

    def __enter__(self) -> _Watched:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, data: Any) -> int:
        written: int = self._file.write(data)
        self._changed()
        return written

    def flush(self) -> None:
        self._file.flush()
        self._changed()

    def close(self) -> None:
        self._file.close()
        self._changed()
