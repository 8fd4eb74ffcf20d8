"""The node's metrics: a line a minute, and one for each round, into the node's own log group.

CloudWatch Logs makes metrics of them in the node's own account, so that no further endpoint, permission or agent is
needed (docs/decisions/0032). They are told from a thread of their own: while the agent fetches tables for an hour, the
heart still beats.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from node_bootstrap import measures
from node_bootstrap.agent import readings
from node_bootstrap.agent.account import AccountError
from node_bootstrap.agent.facts import Facts
from node_bootstrap.agent.new_lines import NewLines
from node_bootstrap.contract import NodeState
from node_bootstrap.measures import Measure

_log = logging.getLogger(__name__)

MINUTE_SECONDS = 60.0
#: How often it looks for finished rounds.
LOOK_SECONDS = 5.0
#: While the account does not answer, so many lines are kept: CloudWatch takes no older ones than two weeks, and what
#: is late by more than an hour or so tells nobody anything.
_KEPT_LINES = 120
#: Rounds that take less than a second would cost more to tell than to train; ``rounds.jsonl`` has all of them.
_MOST_ROUNDS_A_LOOK = 25
_DIRECTIONS = {
    "sent": measures.BYTES_SENT,
    "sent in part": measures.BYTES_SENT,
    "received": measures.BYTES_RECEIVED,
}


class LogGroup(Protocol):
    """Where lines go; each stays whole."""

    def log_whole(self, stream: str, lines: Sequence[str]) -> None:
        """Append lines to a stream, none of them split."""


class Meter:
    """Measures the node.

    Args:
        facts: who the node is.
        group: where lines go.
        standing: returns what the node last said of itself, as it is published: ``state``, ``run``, ``progress``.
        root: folder on the root volume.
        state: folder on the state volume.
        clock: seconds, monotonic.
        wall: seconds since 1970.
    """

    def __init__(
        self,
        facts: Facts,
        group: LogGroup,
        standing: Callable[[], Mapping[str, Any]],
        root: Path,
        state: Path,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._facts, self._group, self._standing = facts, group, standing
        self._root, self._state, self._clock, self._wall = root, state, clock, wall
        self._waiting: list[str] = []
        self._next_minute = clock()
        self._rounds = NewLines(state / "output" / "rounds.jsonl")
        self._audit = NewLines(state / "audit.jsonl")
        self._processors = readings.Processors()
        self._round: tuple[Any, Any] = ("", None)
        self._round_since = clock()

    def run(self, stop: threading.Event) -> None:
        """Measure until told to stop. A fault here is told and costs the node nothing but the measurement."""
        while not stop.wait(LOOK_SECONDS):
            try:
                self.step()
            except AccountError as error:
                _log.debug("metrics wait: %s", error)  # the agent's own loop says that the account is silent
            except Exception:
                _log.exception("this minute's metrics are lost")

    def step(self) -> None:
        """Look once: tell what is due.

        Raises:
            AccountError: the account does not answer; what was to be told is told the next time.
        """
        now = self._clock()
        standing = self._standing()
        self._follow(standing, now)
        self._waiting += [self._line(values) for values in self._finished_rounds() if values]
        if now >= self._next_minute:
            # The next one is due a minute after this one was: a beat that drifts would leave a period out at times.
            self._next_minute += MINUTE_SECONDS
            if self._next_minute <= now:
                self._next_minute = now + MINUTE_SECONDS
            self._waiting.append(self._line(self._minute(standing, now)))
        del self._waiting[:-_KEPT_LINES]
        if self._waiting:
            self._group.log_whole(measures.stream(self._facts.node), self._waiting)
            self._waiting.clear()

    def _line(self, values: Mapping[Measure, float]) -> str:
        return measures.line(int(self._wall() * 1000), self._facts.federation, self._facts.node, values)

    def _minute(self, standing: Mapping[str, Any], now: float) -> dict[Measure, float]:
        return readings.merged(
            {
                measures.HEARTBEAT: 1,
                measures.NODE_FAILED: standing.get("state") == NodeState.FAILED,
                measures.BOOTSTRAP_FAILED: 0,
            },
            {measures.SINCE_ROUND: now - self._round_since} if _is_in_a_run(standing) else {},
            readings.days_left(measures.CERTIFICATE_DAYS, self._state / "tls" / "certificate.pem", readings.utc_now),
            readings.disk(measures.ROOT_DISK, self._root),
            readings.disk(measures.STATE_DISK, self._state),
            self._processors.used(),
            readings.memory(),
            readings.gpus(),
            self._bytes(),
        )

    def _follow(self, standing: Mapping[str, Any], now: float) -> None:
        """Note since when the round is the one that it is; outside of a run, time does not count."""
        round_ = (standing.get("run"), (standing.get("progress") or {}).get("round"))
        if round_ != self._round or not _is_in_a_run(standing):
            self._round, self._round_since = round_, now

    def _finished_rounds(self) -> list[dict[Measure, float]]:
        records = [_parsed(line) for line in self._rounds.take()]
        return [of_round(record) for record in records[-_MOST_ROUNDS_A_LOOK:]]

    def _bytes(self) -> dict[Measure, float]:
        """Return what has crossed the wire since the minute before; nothing where no wire was ever opened."""
        if not self._audit.is_there:
            return {}
        total: dict[Measure, float] = {measures.BYTES_SENT: 0, measures.BYTES_RECEIVED: 0}
        for entry in map(_parsed, self._audit.take()):
            measure = _DIRECTIONS.get(str(entry.get("direction")))
            size = entry.get("bytes")
            if measure and isinstance(size, int):
                total[measure] += size
        return total


def of_round(record: Mapping[str, Any]) -> dict[Measure, float]:
    """Return the metrics of a record of ``rounds.jsonl``: these numbers, and no other field of it.

    The aggregator's are the federation's; what it knows of single sites stays in its own files.
    """
    federated = record.get("federated")
    told = federated if isinstance(federated, dict) else record
    answered = record.get("answered")
    number = record.get("round")
    found: dict[Measure, Any] = {
        # The aggregator counts from 0 a round that is over; a site, the rounds behind the model that it was given.
        measures.ROUND: number + isinstance(federated, dict) if isinstance(number, int) else None,
        measures.ROUND_SECONDS: record.get("seconds", record.get("fit_seconds")),
        measures.LOSS: told.get("test_loss"),
        measures.AUROC: told.get("auroc"),
        measures.SITES: len(answered) if isinstance(answered, list) else None,
    }
    return {measure: value for measure, value in found.items() if isinstance(value, int | float)}


def _is_in_a_run(standing: Mapping[str, Any]) -> bool:
    """Say whether rounds are due: the node runs, or waits after it had begun."""
    state, progress = standing.get("state"), standing.get("progress") or {}
    return state == NodeState.RUNNING or (state == NodeState.WAITING and bool(progress.get("round")))


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
