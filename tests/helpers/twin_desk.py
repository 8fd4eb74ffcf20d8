"""A desk at which the twin is deep, and what a twin must not leave behind on the machine."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training_desk import TrainingDesk

DEADLINE_SECONDS = 60.0


@dataclass
class TwinDesk(TrainingDesk):
    """A desk whose nodes have a body of some depth."""

    depth: str = "network"

    @property
    def environment(self) -> dict[str, str]:
        return {**super().environment, "FEDERATE_DEPTH": self.depth}

    def shadow(self) -> dict[str, Any]:
        """Return what ``federate local status`` says of the twin."""
        told: dict[str, Any] = json.loads(self.run("--json", "local", "status")[0])["twin"]
        return told

    def fault(self, *words: str, code: int = 0) -> str:
        """Bring a fault about, or take it back."""
        out, err = self.run("local", "fault", *words, code=code)
        return out + err


@dataclass(frozen=True)
class Remains:
    """What there is on the machine that a twin could have left."""

    namespaces: frozenset[str]
    mounts: frozenset[str]
    links: frozenset[str]
    loops: frozenset[str]
    groups: frozenset[str]

    @classmethod
    def now(cls) -> Remains:
        named = Path("/run/netns")
        mounts = frozenset(line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines())
        told = subprocess.run(
            ["losetup", "--list", "--noheadings", "--output", "BACK-FILE"], capture_output=True, text=True
        )
        groups = []
        for folder, below, _ in os.walk("/sys/fs/cgroup"):  # groups come and go meanwhile, which os.walk passes over
            groups += [Path(folder) / name for name in below if name.startswith("federate-twin-")]
            below[:] = [name for name in below if not name.startswith("federate-twin-")]
        return cls(
            frozenset(path.name for path in named.iterdir()) if named.is_dir() else frozenset(),
            mounts,
            frozenset(path.name for path in Path("/sys/class/net").iterdir()),
            frozenset(told.stdout.split()),
            frozenset(str(path) for path in groups),
        )

    def of(self, desk: TwinDesk) -> list[str]:
        """Return what a desk's twin has left: mounts and loops of its folder, groups of its tag, and any network."""
        home = str(desk.folder)
        mine = [place for place in (*self.mounts, *self.loops) if place.startswith(home)]
        tag = hashlib.sha256(os.fsencode(desk.twin)).hexdigest()[:12]
        # Nobody else makes networks of these names in the machine's own place for them, not even another twin.
        names = [name for name in (*self.namespaces, *self.links) if name.startswith(("vpc-", "eni-", "pcx-", "wan"))]
        return [*mine, *names, *(group for group in self.groups if tag in group)]


def eventually(condition: Callable[[], bool], what: str, seconds: float = DEADLINE_SECONDS) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come about in {seconds:g} s"
        time.sleep(0.1)
