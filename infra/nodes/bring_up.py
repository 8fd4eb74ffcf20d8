"""From a deployed instance to a node that is ready: it gets what it is to run, and its certificate."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from infra.errors import FederateError
from infra.federation.model import Federation
from infra.identity import Authority
from infra.nodes.control import BOOT_SECONDS, wait_until
from infra.nodes.enrolment import enrol
from infra.nodes.inquest import findings, machine_of
from infra.nodes.release import Release
from infra.nodes.remote import Remote, Report
from infra.nodes.supply import Supplied, supply
from infra.progress import Cell, LiveTable, Status
from node_bootstrap.contract import NodeState

_SIGNS = {
    NodeState.BOOTING: Status.BUSY,
    NodeState.READY: Status.DONE,
    NodeState.WAITING: Status.WAITING,
    NodeState.RUNNING: Status.BUSY,
    NodeState.FINISHED: Status.DONE,
    NodeState.STOPPED: Status.WAITING,
    NodeState.FAILED: Status.FAILED,
}


#: A node may have failed before the wait for it began.
_BEFORE_MS = 3_600_000
#: How often the instances of nodes that are silent are looked at.
_INSTANCE_SECONDS = 15.0


class NotSupplied(FederateError):
    """Some nodes did not get what they are to run."""

    exit_code = 4

    def __init__(self, failures: Sequence[FederateError]) -> None:
        super().__init__("\n".join(dict.fromkeys(str(failure) for failure in failures)))
        self.exit_code = failures[0].exit_code


def supply_all(
    chosen: Sequence[Remote],
    federation: Federation,
    release: Release,
    data: Mapping[str, Path],
    table: LiveTable,
    *,
    approve: bool = True,
) -> list[Supplied]:
    """Bring all nodes what they are to run, side by side; one that fails stops no other.

    Raises:
        NotSupplied: with every node that failed.
    """

    def attempt(remote: Remote) -> Supplied | FederateError:
        id_ = remote.node.id
        try:
            done = supply(
                remote,
                federation,
                release,
                data.get(id_),
                approve=approve,
                say=lambda doing: table.update(id_, given=Cell(doing, Status.BUSY)),
            )
        except FederateError as error:
            table.update(id_, given=Cell("failed", Status.FAILED))
            return error
        table.update(id_, given=Cell(_in_words(done), Status.DONE))
        return done

    with ThreadPoolExecutor(max(1, min(8, len(chosen)))) as pool:
        outcomes = list(pool.map(attempt, chosen))
    failures = [outcome for outcome in outcomes if isinstance(outcome, FederateError)]
    if failures:
        raise NotSupplied(failures)
    return [outcome for outcome in outcomes if isinstance(outcome, Supplied)]


def make_ready(
    chosen: Sequence[Remote],
    federation: Federation,
    authority: Authority | None,
    table: LiveTable,
    *,
    timeout_seconds: float = BOOT_SECONDS,
) -> dict[str, Report]:
    """Answer the nodes' signing requests and wait until all are up.

    Args:
        chosen: which nodes.
        federation: theirs.
        authority: the coordinator's; without it, the wait is over when a node has come up far enough to ask.
        table: shows how far they are.
        timeout_seconds: how long.

    Raises:
        NodeFailed: a node fails, its instance is gone, or it is not up in time; with what its account shows of it.
        RequestRefused: a node asks for what is not its own.
    """
    gone = _Gone(chosen)
    began_ms = int(time.time() * 1000)

    def meanwhile() -> None:
        if authority is not None:
            for remote in chosen:
                enrol(remote, federation, authority)

    return wait_until(
        chosen,
        _is_up if authority else _has_asked,
        what="ready",
        timeout_seconds=timeout_seconds,
        show=lambda found: _show(table, found),
        meanwhile=meanwhile,
        has_failed=lambda id_, report: report.state is NodeState.FAILED or gone.has_taken(id_, report),
        examine=lambda remote, report: findings(remote, is_silent=report.state is None, since_ms=began_ms - _BEFORE_MS),
        remedy="Its log: federate logs {names}. What user data did is done once: after the repair make it anew, with "
        "federate replace {names}.",
    )


class _Gone:
    """Knows the silent nodes whose instances run no more: for their first word one would wait in vain."""

    def __init__(self, chosen: Sequence[Remote]) -> None:
        self._remotes = {remote.node.id: remote for remote in chosen}
        self._look_at = dict.fromkeys(self._remotes, 0.0)

    def has_taken(self, id_: str, report: Report) -> bool:
        """Say whether a node that has said nothing never will; an account that does not tell is no proof."""
        if report.state is not None or time.monotonic() < self._look_at[id_]:
            return False
        self._look_at[id_] = time.monotonic() + _INSTANCE_SECONDS
        try:
            return machine_of(self._remotes[id_]).is_gone
        except FederateError:
            return False


@contextmanager
def nodes_table(title: str, chosen: Sequence[Remote]) -> Iterator[LiveTable]:
    """Show a table of nodes while the block runs: what they were given, and what they say."""
    rows = [remote.node.id for remote in chosen]
    with LiveTable(title, ("given", "state"), rows=rows, key_column="node") as table:
        yield table


def _is_up(_: str, report: Report) -> bool:
    """Say whether a node has come up; that an earlier run of its failed does not matter here."""
    if report.state is NodeState.FAILED:
        return bool(report.run)
    return report.state not in (None, NodeState.BOOTING)


def _has_asked(id_: str, report: Report) -> bool:
    return _is_up(id_, report) or report.state is NodeState.BOOTING


def _show(table: LiveTable, found: Mapping[str, Report]) -> None:
    for id_, report in found.items():
        if report.state is None:
            table.update(id_, state=Cell("not heard of yet", Status.BUSY))
        else:
            reason = f": {report.reason}" if report.reason else ""
            table.update(id_, state=Cell(f"{report.state}{reason}", _SIGNS[report.state]))


def _in_words(done: Supplied) -> str:
    data = f", data in {done.data_objects} objects" if done.data_objects else ""
    return f"release and run files{data}; {done.uploaded / 1e6:.1f} MB sent"
