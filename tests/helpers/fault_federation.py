"""A federation that is to be harmed: its processes are watched, met in a chosen phase, and looked for afterwards."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import secrets
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from authority import DAY
from federate_fault_marks import ANYWHERE, Marks
from federate_fault_plugin import MARKS
from fl_processes import PLANNED, Federation, wait_until

#: Whether the long form is asked for; the short one is part of all tests.
FULL = os.environ.get("FAULTS") == "full"
#: The moments at which things are killed come from this; told with every outcome.
SEED = int(os.environ.get("FAULTS_SEED", "20261125"))

SITES = ("site-a", "site-b", "site-c")
_MARK = "FAULTS_OF"


def sizes(short: Any, full: Any) -> Any:
    """Return what fits the form of the tests that is asked for."""
    return full if FULL else short


@dataclass
class Resumption:
    """How long a restarted process took until its round was open.

    Attributes:
        seconds: from its start.
        kept_waiting: of these, how long other processes had the machine's cores.
    """

    seconds: float
    kept_waiting: float

    @property
    def own_seconds(self) -> float:
        return self.seconds - self.kept_waiting


@dataclass
class Kill:
    """One kill: what was aimed at, and what the process was doing when it died."""

    aimed_at: str
    inside: list[str]
    round: int
    after: float
    resumption: Resumption | None = field(default=None)


class FaultFederation(Federation):
    """Its nodes run the watched data set, and each site may reach the aggregator by a way of its own."""

    def __init__(self, root: Path, sites: tuple[str, ...] = SITES, *, pause: float = 0.0, **settings: Any) -> None:
        """Prepare it.

        Args:
            root: an empty folder.
            sites: who takes part.
            pause: seconds that a batch costs.
            settings: for the run files.
        """
        dataset = {"name": "watched_blobs", "options": {"pause": pause}}
        super().__init__(root, sites, dataset=dataset, **settings)
        for node in ("aggregator", *sites):  # certificates that outlast a clock that jumps
            role = "aggregator" if node == "aggregator" else "client"
            self.authority.issue(root / node / "state" / "tls", node, role=role, since=-9 * DAY, until=9 * DAY)
        self._mark = secrets.token_hex(8)
        self.ways: dict[str, int] = {}
        self.prefixes: dict[str, list[str]] = {}
        self.traps: dict[str, tuple[str, int, int]] = {}
        self.marks = {node: Marks(root / node / "marks", new=True) for node in ("aggregator", *sites)}
        self.started_at: dict[str, float] = {}

    def start(self, *nodes: str) -> None:
        for node in nodes:
            clock = self.marks[node]["clock"]
            self.marks[node] = Marks(self.root / node / "marks", new=True)
            self.marks[node]["clock"] = clock
            if node in self.traps:
                place, from_round, steps = self.traps.pop(node)
                self.marks[node].arm(place, from_round=from_round, steps=steps)
            self.started_at[node] = time.monotonic()
            super().start(node)

    def environment(self, node: str) -> dict[str, str]:
        return {
            **super().environment(node),
            "FEDERATE_ADDRESS_MAP": f"{PLANNED}=127.0.0.1:{self.ways.get(node, self.port)}",
            MARKS: str(self.root / node / "marks"),
            _MARK: self._mark,
        }

    def command(self, node: str) -> list[str]:
        return [*self.prefixes.get(node, []), *super().command(node)]

    @property
    def round(self) -> int:
        return int(self.progress().get("round", 0))

    def runs(self, node: str) -> bool:
        return node in self._processes and self._processes[node].poll() is None

    def signal(self, node: str, number: signal.Signals) -> None:
        self._processes[node].send_signal(number)

    def model_digest(self) -> str:
        return hashlib.sha256(self.output("aggregator", "model.safetensors").read_bytes()).hexdigest()

    def finish(self, seconds: float = 300.0) -> str:
        """Wait until every node has ended well; return the SHA-256 of the model."""
        for node in ("aggregator", *self.sites):
            assert self.exit_code(node, seconds) == 0, self.log(node)[-3000:]
        return self.model_digest()

    def wait_for_rounds(self, more: int, seconds: float = 120.0) -> None:
        """Wait until some more rounds have closed than now."""
        until = self.round + more
        wait_until(lambda: self.round >= until, seconds=seconds, what=f"round {until}")

    def wait_until_open(self, seconds: float = 120.0) -> Resumption:
        """Wait until the aggregator that was started last has a round open."""
        marks = self.marks["aggregator"]

        def opened() -> float:
            self._must_run("aggregator")
            return marks["opened"]

        wait_until(opened, seconds=seconds, what="an open round")
        return Resumption(marks["opened"] - self.started_at["aggregator"], marks["waited"])

    def wait_for_trap(self, place: str, seconds: float = 120.0) -> None:
        """Wait until the aggregator has come to the step at which it was to be met, and holds there."""
        marks = self.marks["aggregator"]

        def met() -> bool:
            self._must_run("aggregator")
            return marks.is_held() and (place == ANYWHERE or place in marks.inside())

        wait_until(met, seconds=seconds, what=f"the aggregator {place}")

    def kill_in_trap(self, place: str, chance: random.Random) -> Kill:
        """Kill the aggregator a little after it has come to where it was to be met."""
        self.wait_for_trap(place)
        after = chance.uniform(0.0, 0.05)
        let_pass(after)
        return self._killed(place, after)

    def kill_starting(self, chance: random.Random, longest: float) -> Kill:
        """Kill the aggregator at a random moment before its round is open."""
        after = chance.uniform(0.0, longest)
        let_pass(self.started_at["aggregator"] + after - time.monotonic())
        return self._killed("starting", after)

    def _killed(self, aimed_at: str, after: float) -> Kill:
        marks = self.marks["aggregator"]
        self.kill("aggregator")
        inside = marks.inside() if marks["opened"] else ["starting"]
        return Kill(aimed_at, inside, int(marks["round"]), round(after, 4))

    def _must_run(self, node: str) -> None:
        if not self.runs(node):
            raise AssertionError(f"{node} has ended; its log:\n{self.log(node)[-3000:]}")

    def left_behind(self) -> list[str]:
        """Return the processes of this federation that are still there, whoever their parent is by now."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get(_MARK) == self._mark and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(f"{process.pid} {' '.join(process.cmdline())}")
        return found


def let_pass(seconds: float) -> None:
    """Let time pass: the moment itself is what the test is about."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(min(0.001, max(0.0, end - time.monotonic())))
