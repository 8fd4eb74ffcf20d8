"""A federation that runs on and on, for tests that harm a part of it and see that the rest goes on."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

from fault_federation import SITES, FaultFederation
from fl_processes import wait_until
from relay import Relay

DEADLINE = 3.0
#: By how much a round may be late on a machine that does other things as well.
LATE = 1.5


class Running:
    """Three sites, of which two are enough after three seconds; each reaches the aggregator through a relay."""

    def __init__(self, root: Path) -> None:
        self.federation = FaultFederation(root, rounds=1_000_000, pause=0.05, quorum=2, round_deadline_seconds=DEADLINE)
        self.ways = {site: Relay(self.federation.port) for site in SITES}
        self.federation.ways = {site: relay.port for site, relay in self.ways.items()}

    def make_well(self) -> None:
        """Undo what a test did, and wait until all sites have answered a round."""
        for site, relay in self.ways.items():
            relay.latency = 0.0
            relay.mend()
            if self.federation.runs(site):
                self.federation.signal(site, signal.SIGCONT)
        self.federation.start(*(node for node in (*SITES, "aggregator") if not self.federation.runs(node)))
        began = self.round
        wait_until(lambda: self.answered_by(*SITES, since=began + 1), seconds=120, what="a round of all sites")

    @property
    def round(self) -> int:
        """The round that is open."""
        return self.federation.round

    def records(self, since: int = 0) -> list[dict[str, Any]]:
        """Return the records from a round on."""
        return [record for record in self.federation.rounds() if record["round"] >= since]

    def answered_by(self, *sites: str, since: int) -> dict[str, Any] | None:
        """Return the first record from a round on that has answers of all these sites."""
        found = (record for record in self.records(since) if set(sites) <= set(record["answered"]))
        return next(found, None)

    def closes_without(self, site: str, *, rounds: int = 2) -> list[dict[str, Any]]:
        """Wait until rounds have closed without a site, and none of them later than its deadline; return them."""
        began = self.round

        def found() -> list[dict[str, Any]]:
            return [record for record in self.records(began) if site not in record["answered"]]

        wait_until(lambda: len(found()) >= rounds, seconds=60, what=f"{rounds} rounds without {site}")
        assert all(record["seconds"] <= DEADLINE + LATE for record in found()), found()
        assert all(len(record["answered"]) == 2 for record in found())
        return found()

    def is_back(self, site: str, seconds: float = 60.0) -> float:
        """Wait until a site has answered a round that is open now or later; return the seconds until then."""
        began, since = time.monotonic(), self.round
        wait_until(lambda: self.answered_by(site, since=since), seconds=seconds, what=f"an answer of {site}")
        return time.monotonic() - began

    def no_round_is_missing(self) -> None:
        """Assert that every round has one record."""
        records = self.federation.rounds()
        assert [record["round"] for record in records] == list(range(len(records)))

    def end(self) -> None:
        """End every process and every relay."""
        self.federation.end()
        for relay in self.ways.values():
            relay.close()
