"""Faults of what a machine has besides its processes: its disk and its clock."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from infra.local.twin.faults import units
from infra.local.twin.faults.errors import FaultRefused
from infra.local.twin.faults.fault import Fault
from infra.local.twin.faults.ground import Ground
from infra.local.twin.faults.kinds import Kind, Reader, Scene

_ROOT = Path("/")
_FILLING = ".federate-fault-fills-this-disk"


class _FillDisk(Kind):
    """Nothing more can be written to the node's disk; what is there stays, and files can be deleted."""

    name = "fill-disk"
    needs = "network"
    needs_power = True
    is_in_the_node = True

    def check(self, ground: Ground, node: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Refuse a disk that is not the node's alone: it would be this machine's that is filled."""
        disk = ground.disk(node)
        if disk is None or disk.stat().st_dev == _ROOT.stat().st_dev:
            raise FaultRefused(
                f"{node} has no disk of its own that could be filled.",
                remedy="At the depth machines a node has one: federate local up --depth machines.",
            )
        return dict(values)

    def apply(self, scene: Scene, fault: Fault) -> dict[str, Any]:
        disk = scene.ground.disk(fault.node)
        if disk is not None:
            fill(disk / _FILLING)
        return {}

    def revert(self, scene: Scene, fault: Fault) -> None:
        disk = scene.ground.disk(fault.node)
        if disk is None:
            raise FaultRefused(f"The disk of {fault.node} is not there to be freed.", remedy="Power the node on first.")
        (disk / _FILLING).unlink(missing_ok=True)


class _SkewClock(Kind):
    """The node's clock is wrong by a fixed time."""

    name = "skew-clock"
    needs = "network"
    needs_power = True
    is_in_the_node = True
    parameters: ClassVar[Mapping[str, Reader]] = {"by": units.offset_seconds}

    def check(self, ground: Ground, node: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Refuse a clock that is right."""
        if "by" not in values:
            raise FaultRefused("skew-clock does not say by how much.", remedy="Say it with its sign: +2h, -30m.")
        return {"seconds": values["by"]}

    def text(self, parameters: Mapping[str, Any]) -> str:
        """Return for instance ``+7200 s``."""
        return f"{parameters['seconds']:+g} s"

    def apply(self, scene: Scene, fault: Fault) -> dict[str, Any]:
        scene.ground.skew(fault.node, fault.parameters["seconds"])
        return {}

    def revert(self, scene: Scene, fault: Fault) -> None:
        scene.ground.skew(fault.node, None)


MACHINE_KINDS = (_FillDisk(), _SkewClock())


def fill(path: Path) -> None:
    """Have a file take all that is free where it lies.

    The space is reserved, not written: a disk image that is larger than what backs it stays as small as it was.
    """
    handle = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        found = os.fstatvfs(handle)
        piece, taken = found.f_bfree * found.f_frsize, os.fstat(handle).st_size
        while piece >= found.f_frsize:
            try:
                os.posix_fallocate(handle, taken, piece)
                taken += piece
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                piece //= 2
        with contextlib.suppress(OSError):
            os.fsync(handle)
    finally:
        os.close(handle)
