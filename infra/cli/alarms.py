"""``federate alarms``: what watches each node, in each node's own account, and what of it is on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.cli.context import Aws, Context, context
from infra.cli.nodes import Who, named
from infra.errors import FederateError

if TYPE_CHECKING:
    from infra.nodes.remote import Remote
    from stacks.alarms import Alarm

ON = "ALARM"
#: Where the account has no such alarm; every other state is CloudWatch's word.
NOT_THERE = "not there"


class AlarmIsOn(FederateError):
    """An alarm is on, or missing, and the caller wants to know by the exit code."""

    exit_code = 6


@dataclass(frozen=True, slots=True)
class Found:
    """One alarm as the account has it. ``since`` is ISO 8601, empty where it is not there."""

    id: str
    name: str
    state: str
    since: str
    reason: str
    meaning: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Watched:
    """One node and what watches it. ``dashboard`` is the console's address of it; None on loopback, which has none.

    ``troubles`` says why its alarms are missing here; empty where the account has answered.
    """

    node: str
    account: str
    region: str
    topic: str
    dashboard_name: str
    dashboard: str | None
    alarms: tuple[Found, ...]
    troubles: tuple[str, ...] = ()


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: federate alarms hospital-a --fail")(alarms)


def alarms(
    ctx: typer.Context,
    who: Who = None,
    fail: Annotated[bool, typer.Option("--fail", help="Exit with 6 if an alarm is on, or not there.")] = False,
) -> None:
    """Show the alarms of every account with their states, and where its dashboard is.

    An account that does not answer is a row that says so; the others are shown, and the exit code is that of the
    reason: 3 for credentials, 4 if AWS does not answer or refuses. With --fail, 6 goes before it.
    """
    from infra.nodes.answers import ask_all
    from stacks.alarms import alarms as planned

    here = context(ctx)
    chosen = named(here, who)
    wanted = planned(here.federation)
    if not wanted:
        here.answer([], "Monitoring is off: this federation has no alarms (monitoring in its file).")
        return
    here.reach_aws()
    heard, silent = ask_all(chosen, lambda remote: _look(here, remote, wanted))
    by_id = {watched.node: watched for watched in heard}
    by_id |= {each.remote.node.id: _watched(here, each.remote, (), str(each.error)) for each in silent}
    rows = [by_id[remote.node.id] for remote in chosen]
    here.answer([asdict(row) for row in rows], "\n".join([_as_text(rows), *dict.fromkeys(map(str, silent))]))
    bad = [f"{one.name} ({one.state})" for row in rows for one in row.alarms if one.state in (ON, NOT_THERE)]
    if fail and bad:
        raise AlarmIsOn(f"Not as it should be: {', '.join(bad)}.")
    if silent:
        raise typer.Exit(silent[0].error.exit_code)


def _look(here: Context, remote: Remote, wanted: Sequence[Alarm]) -> Watched:
    node = remote.node
    remote.refuse_without_credentials()
    asked = remote.client("cloudwatch").describe_alarms(AlarmNames=[alarm.name(node) for alarm in wanted])
    by_name = {alarm["AlarmName"]: alarm for alarm in asked["MetricAlarms"]}
    return _watched(
        here, remote, [found(alarm, alarm.name(node), by_name.get(alarm.name(node), {})) for alarm in wanted]
    )


def _watched(here: Context, remote: Remote, alarms: Sequence[Found], *troubles: str) -> Watched:
    node = remote.node
    return Watched(
        node.id,
        node.account,
        node.region,
        node.alarm_topic,
        node.watch_name,
        None if here.aws is Aws.LOOPBACK else console(node.region, node.watch_name),
        tuple(alarms),
        troubles,
    )


def found(alarm: Alarm, name: str, told: Mapping[str, Any]) -> Found:
    """Return an alarm as CloudWatch tells it; an empty answer is an alarm that is not there."""
    since = told.get("StateUpdatedTimestamp")
    return Found(
        alarm.id,
        name,
        str(told.get("StateValue", NOT_THERE)),
        since.isoformat(timespec="seconds") if since else "",
        str(told.get("StateReason", "")),
        alarm.meaning,
        alarm.remedy,
    )


def console(region: str, dashboard: str) -> str:
    """Return the console's address of a dashboard; whoever opens it is signed in to the account."""
    return f"https://{region}.console.aws.amazon.com/cloudwatch/home?region={region}#dashboards/dashboard/{dashboard}"


def _as_text(watched: Sequence[Watched]) -> str:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(header_style="bold")
    for column in ("node", "account", "alarm", "state", "since", "what it means"):
        table.add_column(column)
    for one in watched:
        if one.troubles:
            table.add_row(one.node, one.account, "–", Text("does not answer", style="bold red"), "", "")
        for index, alarm in enumerate(one.alarms):
            style = "bold red" if alarm.state == ON else "yellow" if alarm.state == NOT_THERE else ""
            table.add_row(
                one.node if not index else "",
                one.account if not index else "",
                alarm.id,
                Text(alarm.state, style=style),
                alarm.since,
                f"{alarm.meaning} {alarm.remedy}" if alarm.state == ON else "",
            )
        table.add_section()
    width = Console(width=160, highlight=False)
    with width.capture() as captured:
        width.print(table)
    places = [f"{one.node}: dashboard {one.dashboard or one.dashboard_name}" for one in watched]
    if watched and watched[0].dashboard is None:
        places.append("Loopback AWS has no console: what a dashboard would show is in its metrics.")
    return "\n".join([captured.get().rstrip(), *places])
