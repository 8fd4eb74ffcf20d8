"""``federate start``, ``stop``, ``restart`` and ``watch``: nodes as they are wanted, and as they are."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.cli.context import Context, context
from infra.errors import FederateError
from infra.federation.derive import AGGREGATOR_ID

if TYPE_CHECKING:
    from infra.accounts import Accounts
    from infra.nodes.remote import Remote, Report

Who = Annotated[
    list[str] | None, typer.Argument(metavar="[clients|server|NODE]...", help="Which nodes; all if left out.")
]
#: From the wish to the application's first word: importing torch takes its time on a small machine.
_START_SECONDS = 300.0
#: Where a node fails, its log lines of so long are shown.
_LOG_BACK_MS = 900_000


class OperatedElsewhere(FederateError):
    """A node was named that its own site's admin operates."""

    exit_code = 3


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog="Example: federate start clients, then: federate start server")(start)
    app.command(epilog="Example: federate stop hospital-a")(stop)
    app.command(epilog="Example: federate watch")(watch)
    app.command(epilog="Example: federate restart hospital-a")(restart)


def remotes_of(here: Context, who: Sequence[str] | None) -> tuple[Remote, ...]:
    """Return the nodes that are meant by ``clients``, ``server`` and ids, once all their accounts are reached.

    Raises:
        UnknownNode: a name is none of the federation's nodes.
        OperatedElsewhere: a node was named that its own admin operates.
        WrongCredentials: with every profile that does not lead to its account.
    """
    from infra.accounts import AwsAccounts, check_credentials

    accounts = AwsAccounts()
    chosen = named(here, who, accounts)
    here.reach_aws()
    if chosen:
        check_credentials(accounts, [remote.node for remote in chosen])
    return chosen


def named(here: Context, who: Sequence[str] | None, accounts: Accounts | None = None) -> tuple[Remote, ...]:
    """Return the nodes that are meant by ``clients``, ``server`` and ids, as far as they are operated here.

    Asks no account: whoever looks at several sees for himself which one answers.

    Raises:
        UnknownNode: a name is none of the federation's nodes.
        OperatedElsewhere: a node was named that its own admin operates.
    """
    from infra.accounts import AwsAccounts
    from infra.federation.derive import nodes
    from infra.nodes.remote import remotes

    groups = {"clients": [node.id for node in nodes(here.federation)[1:]], "server": [AGGREGATOR_ID]}
    ids = [id_ for name in who or () for id_ in groups.get(name, [name])]
    found = remotes(here.federation, accounts or AwsAccounts(), ids)
    refuse_elsewhere(here, found, who or ())
    return tuple(remote for remote in found if remote.node.is_operated_here)


def refuse_elsewhere(here: Context, found: Sequence[Remote], named: Sequence[str]) -> None:
    """Refuse what was named and is operated by its own admin; say once what is left to one.

    Raises:
        OperatedElsewhere: with every node that was named and is not operated here.
    """
    elsewhere = [remote.node.id for remote in found if not remote.node.is_operated_here]
    refused = [id_ for id_ in elsewhere if id_ in named]
    if refused:
        raise OperatedElsewhere(
            f"{', '.join(refused)}: its own admin operates it, and nobody here has credentials of its account.",
            remedy="The admin uses the startup kit: federate export SITE writes it (docs/hand-over.md).",
        )
    if elsewhere:
        _say_once(here, f"Left to its own admin: {', '.join(elsewhere)}.")


@cache
def _say_once(here: Context, text: str) -> None:
    here.say(text)


def start(
    ctx: typer.Context,
    who: Who = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Do not follow the training that starts with the aggregator.")
    ] = False,
    again: Annotated[bool, typer.Option("--again", help="Begin anew on nodes that run already.")] = False,
) -> None:
    """Have nodes run: clients wait for the aggregator, training begins once it is there."""
    from infra.cli.supplying import supply_run_files

    here = context(ctx)
    chosen = remotes_of(here, who)
    supply_run_files(here, chosen)
    _start(here, chosen, detach=detach, again=again)


def stop(
    ctx: typer.Context,
    who: Who = None,
    cancel: Annotated[
        bool, typer.Option("--cancel", help="End the run for good: no model is written, the next start begins anew.")
    ] = False,
) -> None:
    """Have nodes stop in order; the next start goes on from where they were."""
    from infra.nodes.remote import reports

    here = context(ctx)
    chosen = remotes_of(here, who)
    _stop(chosen, cancel=cancel)
    found = reports(chosen)
    here.answer(
        {id_: report.as_dict() for id_, report in found.items()},
        "\n".join(f"  {id_}: {in_words(report)}" for id_, report in found.items()),
    )


def restart(
    ctx: typer.Context,
    who: Who = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Do not follow the training that goes on with the aggregator.")
    ] = False,
) -> None:
    """Stop nodes in order and start them again, with the run files of today; training goes on from where it was."""
    from infra.cli.supplying import supply_run_files

    here = context(ctx)
    chosen = remotes_of(here, who)
    supply_run_files(here, chosen)  # what is refused here is better refused while the nodes still run
    _stop(chosen)
    _start(here, chosen, detach=detach)


def watch(ctx: typer.Context) -> None:
    """Show training while it runs; Ctrl-C ends the watching and nothing else."""
    from infra.nodes.control import desired_of

    here = context(ctx)
    (aggregator,) = remotes_of(here, ["server"])
    desired = desired_of(aggregator)
    if not desired.run:
        aggregator.refuse_unless_deployed()
        raise NothingToSee(
            "The aggregator was never started.", remedy="federate start clients, then federate start server."
        )
    follow(here, desired.run)


def _start(here: Context, chosen: Sequence[Remote], *, detach: bool, again: bool = False) -> None:
    from infra.nodes import control
    from infra.nodes.inquest import findings
    from node_bootstrap.contract import NodeState

    started = control.start(chosen, again=again)
    found = control.wait_until(
        chosen,
        lambda id_, report: _is_under_way(report, started[id_]),
        what="started",
        timeout_seconds=_START_SECONDS,
        has_failed=lambda id_, report: report.state is NodeState.FAILED and report.run == started[id_],
        examine=lambda remote, report: findings(
            remote, is_silent=report.state is None, since_ms=int(time.time() * 1000) - _LOG_BACK_MS
        ),
    )
    if AGGREGATOR_ID in started and not detach and not here.json:
        follow(here, started[AGGREGATOR_ID])
        from infra.cli.results import finish

        finish(here)
        return
    here.answer(
        {id_: {**report.as_dict(), "run": started[id_]} for id_, report in found.items()},
        "\n".join(f"  {id_}: {in_words(report)}" for id_, report in found.items()),
    )


def _stop(chosen: Sequence[Remote], *, cancel: bool = False) -> None:
    from infra.nodes import control
    from node_bootstrap.contract import CANCELLED, NodeState

    at_rest = (None, NodeState.READY, NodeState.STOPPED, NodeState.FINISHED, NodeState.FAILED)

    def is_so(_: str, report: Report) -> bool:
        # what was stopped or has failed already is cancelled once the node says so: a start that follows is a new one
        is_meant = report.state not in (NodeState.STOPPED, NodeState.FAILED) or report.reason == CANCELLED
        return report.state in at_rest and (is_meant or not cancel)

    control.wait_until(
        control.stop(chosen, cancel=cancel),
        is_so,
        what="cancelled" if cancel else "stopped",
        timeout_seconds=control.STOP_SECONDS,
        has_failed=lambda *_: False,
    )


def follow(here: Context, run: str) -> None:
    """Show one run until the aggregator is through with it.

    Raises:
        NodeFailed: the aggregator failed, or so many sites that the quorum is out of reach.
        Unwatched: Ctrl-C; training goes on.
    """
    from infra.cli.progress import watch as show
    from infra.nodes.control import NodeFailed
    from infra.nodes.remote import reports

    everybody = remotes_of(here, None)

    def states() -> Mapping[str, Mapping[str, Any] | None]:
        found = reports(everybody)
        _refuse_to_wait_in_vain(here, found)
        return {id_: _seen(id_, report, run) for id_, report in found.items()}

    try:
        last = show(states, title=f"Training {here.federation.name}")
    except KeyboardInterrupt:
        raise Unwatched(
            "Training goes on unwatched.", remedy="federate watch shows it again; federate stop ends it."
        ) from None
    hub = next(node for node in last.nodes if node.id == AGGREGATOR_ID)
    if hub.state == "failed":
        raise NodeFailed(f"The aggregator failed: {hub.does}", remedy="Its log: federate logs server.")


def _refuse_to_wait_in_vain(here: Context, found: Mapping[str, Report]) -> None:
    """Give up when the sites that are left are too few for a round.

    Raises:
        NodeFailed: naming the sites that failed and why.
    """
    from infra.nodes.control import NodeFailed
    from node_bootstrap.contract import NodeState

    sites = [site.id for site in here.federation.participants]
    failed = {id_: found[id_] for id_ in sites if id_ in found and found[id_].state is NodeState.FAILED}
    quorum = here.federation.policy.quorum or len(sites)
    if len(sites) - len(failed) < quorum:
        lines = [f"{id_} failed: {report.reason}" for id_, report in failed.items()]
        names = " ".join(failed)
        raise NodeFailed(
            "\n".join(
                [*lines, f"A round needs {quorum} of {len(sites)} sites; the aggregator goes on waiting for them."]
            ),
            remedy=f"Their logs: federate logs {names}. After the repair: federate start {names}.",
        )


class NothingToSee(FederateError):
    """Nothing was started that could be watched."""

    exit_code = 6


class Unwatched(FederateError):
    """The user did not want to see more."""

    exit_code = 130


def in_words(report: Report) -> str:
    """Return a report as a line of text: the state, then what the node waits for or why it failed."""
    names = [str(name) for name in report.progress.get("waiting_for") or ()]
    # A site that has begun waits for the aggregator after each of its rounds; that says nothing.
    waiting = "" if report.state == "running" and names == [AGGREGATOR_ID] else ", ".join(names)
    why = report.reason or (f"waits for {waiting}" if waiting else "")
    return f"{report.state or 'not heard of'}{f', {why}' if why else ''}"


def _is_under_way(report: Report, run: str) -> bool:
    from node_bootstrap.contract import NodeState

    if report.run != run:
        # What it says is of an earlier start, a failure included: it has not looked yet.
        return False
    return report.state in (NodeState.RUNNING, NodeState.FINISHED) or (
        report.state is NodeState.WAITING and bool(report.progress)
    )


def _seen(id_: str, report: Report, run: str) -> Mapping[str, Any] | None:
    """Return a report for the view; what the aggregator says of an earlier start is not the end of this one."""
    if report.state is None:
        return None
    if id_ == AGGREGATOR_ID and report.run != run:
        return {"state": "ready", "reason": "is being started"}
    return report.as_dict()
