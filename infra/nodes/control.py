"""What is wanted of nodes, and waiting until they are as wanted."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from infra.errors import FederateError
from infra.nodes.remote import Remote, Report, reports
from node_bootstrap import contract
from node_bootstrap.contract import Desired, NodeState, Unreadable

#: A GPU instance takes minutes from power-on to its first word.
BOOT_SECONDS = 900.0
STOP_SECONDS = 60.0
_POLL_SECONDS = 0.5
_ALIVE = (NodeState.WAITING, NodeState.RUNNING, NodeState.BOOTING)

Show = Callable[[Mapping[str, Report]], None]
#: What is found out about a node, in lines for a person.
Examine = Callable[[Remote, Report], Iterable[str]]


class NodeFailed(FederateError):
    """A node says that it failed, or says nothing."""

    exit_code = 6


def start(chosen: Sequence[Remote], *, again: bool = False) -> dict[str, str]:
    """Have nodes run; one that runs already goes on with what it does.

    Args:
        chosen: which nodes.
        again: begin anew on nodes that run.

    Returns:
        The name of the start by node.
    """
    fresh = f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{secrets.token_hex(2)}"
    started: dict[str, str] = {}
    for remote in chosen:
        told = remote.parameters()
        desired = _desired(told.get(contract.DESIRED))
        report = Report.read(told.get(contract.STATE))
        is_under_way = desired.state == "started" and (report.state in _ALIVE or report.run != desired.run)
        name = desired.run if is_under_way and not again else fresh
        if name == fresh:
            remote.put(contract.DESIRED, Desired("started", fresh).text())
        started[remote.node.id] = name
    return started


def stop(chosen: Sequence[Remote], *, cancel: bool = False) -> tuple[Remote, ...]:
    """Have nodes stop in order; what they have learned so far stays with them, and the next start goes on from it.

    Args:
        chosen: which nodes.
        cancel: end the run for good instead, also one that was stopped before; the next start begins anew.

    Returns:
        Those that may run still: of the others nothing was ever wanted.
    """
    may_run = []
    for remote in chosen:
        text = remote.parameters().get(contract.DESIRED)
        if text is None:
            continue
        may_run.append(remote)
        try:
            desired = Desired.read(text)
        except Unreadable:
            desired = Desired("started")  # a node goes on with what it does while it cannot read what is wanted
        if cancel and desired.run and desired.state != "cancelled":
            remote.put(contract.DESIRED, Desired("cancelled", desired.run).text())
        elif desired.state == "started":
            remote.put(contract.DESIRED, Desired("stopped", desired.run).text())
    return tuple(may_run)


def desired_of(remote: Remote) -> Desired:
    """Return what is wanted of a node now."""
    return _desired(remote.parameters().get(contract.DESIRED))


def wait_until(
    chosen: Sequence[Remote],
    is_so: Callable[[str, Report], bool],
    *,
    what: str,
    timeout_seconds: float,
    has_failed: Callable[[str, Report], bool] = lambda _, report: report.state is NodeState.FAILED,
    show: Show = lambda _: None,
    meanwhile: Callable[[], None] = lambda: None,
    examine: Examine = lambda *_: (),
    remedy: str = "Its log: federate logs {names}. After the repair: federate start {names}.",
) -> dict[str, Report]:
    """Wait until nodes are as wanted.

    Args:
        chosen: which nodes.
        is_so: whether a node, by id and report, is as wanted.
        what: what is waited for, for the error: ``ready``.
        timeout_seconds: how long.
        has_failed: whether a node that is not as wanted never will be.
        show: told what all nodes say, at each look.
        meanwhile: done at each look, before it.
        examine: finds out more about a node that failed or is late, for the error.
        remedy: what to do where nodes failed; ``{names}`` stands for them.

    Raises:
        NodeFailed: a node fails meanwhile, or is not as wanted in time; every such node is named.
    """
    deadline = time.monotonic() + timeout_seconds
    while True:
        meanwhile()
        found = reports(chosen)
        show(found)
        failed = {id_: report for id_, report in found.items() if not is_so(id_, report) and has_failed(id_, report)}
        if failed:
            names = " ".join(failed)
            lines = [f"{id_} failed: {_why(report)}" for id_, report in failed.items()]
            raise NodeFailed(
                "\n".join([*lines, *_examined(chosen, failed, examine)]),
                remedy=remedy.format(names=names),
            )
        late = {id_: report for id_, report in found.items() if not is_so(id_, report)}
        if not late:
            return found
        if time.monotonic() >= deadline:
            told = [f"{id_} is {r.state or 'silent'}{f' ({r.reason})' if r.reason else ''}" for id_, r in late.items()]
            raise NodeFailed(
                "\n".join(
                    [
                        f"Not {what} after {timeout_seconds:.0f} s: {'; '.join(told)}.",
                        *_examined(chosen, late, examine),
                    ]
                ),
                remedy=f"Its log: federate logs {' '.join(late)}. The same command goes on waiting.",
            )
        time.sleep(_POLL_SECONDS)


def _why(report: Report) -> str:
    if report.state is None:
        return "its instance is gone before it said anything"
    return report.reason or "it does not say why"


def _examined(chosen: Sequence[Remote], which: Mapping[str, Report], examine: Examine) -> list[str]:
    return [line for remote in chosen if remote.node.id in which for line in examine(remote, which[remote.node.id])]


def _desired(text: str | None) -> Desired:
    try:
        return Desired.read(text)
    except Unreadable:
        return Desired("stopped")  # whoever wrote that, it is about to be written anew
