"""Disks of a machine as sparse files: its root disk, which goes with it, and its state volume, which outlives it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import struct
import time
from dataclasses import dataclass
from pathlib import Path

from infra.errors import FederateError
from infra.local.twin.machines import tools

_GIB = 1 << 30
#: Enough for what a node writes over its base; a node with more files than that meets a full disk.
_ROOT_DISK_FILES = 262_144

# linux/loop.h
_LOOP_CTL_GET_FREE = 0x4C82
_LOOP_CONFIGURE = 0x4C0A
_LO_FLAGS_AUTOCLEAR = 4
#: struct loop_config: the file, the block size, struct loop_info64 with the flags in it, and what is reserved.
_LOOP_CONFIG = struct.Struct("=II 40x 3I I 64x 64x 32x 16x 64x")
_LOOP_MAJOR = 7
_TRIES = 20
_DETACH_SECONDS = 10.0
_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume's file: sparse, without a file system until a node makes one.

    Args:
        path: the file; it is made where it is missing, and never made smaller.
        gib: the volume's size.
    """

    path: Path
    gib: int

    def attach(self) -> Loop:
        """Attach it as a block device."""
        make_sparse(self.path, self.gib)
        return Loop(self.path)


class VolumeInUse(FederateError):
    """A volume is attached to a machine, and can be to one only."""

    exit_code = 4


class Loop:
    """A file as a block device, for as long as this object, or a mount of the device, lives.

    The kernel detaches the file by itself when the last one that has the device open is gone, however it went.

    Raises:
        CannotHaveMachines: the kernel gives no loop device.
        VolumeInUse: the file is attached already, and stays so.
    """

    def __init__(self, path: Path) -> None:
        _wait_until_detached(path)
        with path.open("r+b") as file:
            self.device, self._held = _attach(file.fileno())

    def close(self) -> None:
        """Let go of the device; a mount of it keeps it until it is unmounted."""
        if self._held >= 0:
            os.close(self._held)
            self._held = -1


def make_sparse(path: Path, gib: int) -> None:
    """Make a file of this size that takes no room yet; one that is there is only ever made larger."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if os.fstat(descriptor).st_size < gib * _GIB:
            os.ftruncate(descriptor, gib * _GIB)
    finally:
        os.close(descriptor)


def make_root_disk(path: Path, gib: int) -> None:
    """Make a root disk with a file system on it, unless it is there."""
    if path.exists():
        return
    part = path.with_suffix(".part")
    part.unlink(missing_ok=True)
    make_sparse(part, gib)
    # Nothing is written ahead of need: a disk of 100 GiB begins with a few MB.
    options = ["-q", "-F", "-m", "0", "-N", str(_ROOT_DISK_FILES), "-J", "size=4"]
    tools.run(
        ["mkfs.ext4", *options, "-E", "nodiscard,lazy_itable_init=1,lazy_journal_init=1", part],
        doing="make a node's root disk",
    )
    part.rename(path)


def _attach(file: int) -> tuple[Path, int]:
    """Return the device and a descriptor that keeps it.

    Raises:
        CannotHaveMachines: see :class:`Loop`.
    """
    try:
        control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise tools.CannotHaveMachines(
            f"The depth machines needs loop devices for the nodes' disks: {error}.",
            remedy="Load the kernel's loop module (modprobe loop), or use the depth network.",
        ) from None
    try:
        for _ in range(_TRIES):
            number = fcntl.ioctl(control, _LOOP_CTL_GET_FREE)
            device = _device(number)
            held = os.open(device, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.ioctl(held, _LOOP_CONFIGURE, _LOOP_CONFIG.pack(file, 512, 0, 0, 0, _LO_FLAGS_AUTOCLEAR))
            except OSError as error:
                os.close(held)
                if error.errno != errno.EBUSY:  # another process was faster
                    raise
            else:
                return device, held
    finally:
        os.close(control)
    raise tools.CannotHaveMachines("No loop device could be had: other processes take them all.")


def _wait_until_detached(path: Path) -> None:
    """Wait for a machine that has just ended: the kernel takes its mounts away a moment later, and writes until then.

    Raises:
        VolumeInUse: see :class:`Loop`.
    """
    deadline = time.monotonic() + _DETACH_SECONDS
    while str(path.resolve()) in _attached():
        if time.monotonic() > deadline:
            raise VolumeInUse(
                f"The volume {path.name} is attached to another machine.", remedy="Power that machine off first."
            )
        time.sleep(_POLL_SECONDS)


def _attached() -> set[str]:
    """Return the files behind loop devices."""
    found = set()
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        with contextlib.suppress(OSError):  # detached just now
            found.add(backing.read_text().rstrip("\n"))
    return found


def _device(number: int) -> Path:
    """Return the device's file; where /dev is not the kernel's own, a new one does not appear by itself."""
    device = Path(f"/dev/loop{number}")
    if not device.exists():
        os.mknod(device, stat.S_IFBLK | 0o600, os.makedev(_LOOP_MAJOR, number))
    return device
