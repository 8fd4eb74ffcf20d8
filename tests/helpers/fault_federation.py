"""A federation that is to be harmed: its processes are watched, stopped in a chosen phase, and looked for afterwards."""

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
from federate_fault_marks import Marks
from federate_fault_plugin import MARKS, STRETCH
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

    def __init__(
        self, root: Path, sites: tuple[str, ...] = SITES, *, stretch: float = 0.0, pause: float = 0.0, **settings: Any
    ) -> None:
        """Prepare it.

        Args:
            root: an empty folder.
            sites: who takes part.
            stretch: seconds by which each phase of the aggregator is longer, at its beginning and at its end.
            pause: seconds that a batch costs.
            settings: for the run files.
        """
        dataset = {"name": "watched_blobs", "options": {"pause": pause}}
        super().__init__(root, sites, dataset=dataset, **settings)
        self._mark = secrets.token_hex(8)
        self._stretch = stretch
        self.ways: dict[str, int] = {}
        self.prefixes: dict[str, list[str]] = {}
        self.marks = {node: Marks(root / node / "marks", new=True) for node in ("aggregator", *sites)}
        self.started_at: dict[str, float] = {}

    def start(self, *nodes: str) -> None:
        for node in nodes:
            shift = self.marks[node].clock_shift()
            self.marks[node] = Marks(self.root / node / "marks", new=True)
            self.marks[node].shift_clock(shift)
            self.started_at[node] = time.monotonic()
            super().start(node)

    def environment(self, node: str) -> dict[str, str]:
        return {
            **super().environment(node),
            "FEDERATE_ADDRESS_MAP": f"{PLANNED}=127.0.0.1:{self.ways.get(node, self.port)}",
            MARKS: str(self.root / node / "marks"),
            STRETCH: str(self._stretch),
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
            if not self.runs("aggregator"):
                raise AssertionError(f"the aggregator has ended; its log:\n{self.log('aggregator')[-3000:]}")
            return marks.opened()[0]

        wait_until(opened, seconds=seconds, what="an open round")
        at, waited = marks.opened()
        return Resumption(at - self.started_at["aggregator"], waited)

    def kill_inside(self, phase: str, chance: random.Random, seconds: float = 120.0) -> Kill:
        """Kill the aggregator at a random moment inside a phase, which it is stopped for and looked at first."""
        marks, until = self.marks["aggregator"], time.monotonic() + seconds
        while time.monotonic() < until:
            begun = marks.entries(phase)
            wait_until(lambda b=begun: marks.entries(phase) > b, seconds=seconds, what=f"the phase {phase}")
            after = chance.uniform(0.0, max(4 * self._stretch, 0.02))
            let_pass(after)
            self.signal("aggregator", signal.SIGSTOP)
            wait_until(lambda: self._is_stopped("aggregator"), what="a stopped aggregator")
            inside, round_ = marks.inside(), self.round
            if phase in inside:
                self.kill("aggregator")
                return Kill(phase, sorted(inside), round_, round(after, 4))
            self.signal("aggregator", signal.SIGCONT)
        raise AssertionError(f"the aggregator was not met in the phase {phase} in {seconds:g} s")

    def kill_starting(self, chance: random.Random, longest: float) -> Kill:
        """Kill the aggregator at a random moment before its round is open."""
        after = chance.uniform(0.0, longest)
        let_pass(max(0.0, self.started_at["aggregator"] + after - time.monotonic()))
        inside, round_ = self.marks["aggregator"].inside(), self.round
        self.kill("aggregator")
        return Kill("starting", sorted(inside) or ["starting"], round_, round(after, 4))

    def left_behind(self) -> list[str]:
        """Return the processes of this federation that are still there, whoever their parent is by now."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get(_MARK) == self._mark and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(f"{process.pid} {' '.join(process.cmdline())}")
        return found

    def _is_stopped(self, node: str) -> bool:
        stat = Path(f"/proc/{self._processes[node].pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] in "TZ"


def let_pass(seconds: float) -> None:
    """Let time pass: the moment itself is what the test is about."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(min(0.001, max(0.0, end - time.monotonic())))
