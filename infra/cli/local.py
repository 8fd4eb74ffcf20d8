"""``federate local``: AWS on loopback and the twin."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.cli import faults, flows
from infra.cli.context import Context, context

if TYPE_CHECKING:
    from infra.local.twin import depth as depths


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(
        no_args_is_help=True,
        help="AWS on loopback, and the twin that gives its instances a body.",
        epilog="Example: federate local status",
    )
    group.command(epilog="Example: federate local up --depth network")(up)
    group.command(epilog="Example: federate local down")(down)
    group.command(epilog="Example: federate --json local status")(status)
    faults.register(group)
    flows.register(group)
    app.add_typer(group, name="local")


Depth = Annotated[
    str | None,
    typer.Option(
        envvar="FEDERATE_DEPTH",
        metavar="DEPTH",
        help="How much of a body nodes get: processes, network or machines. What runs already is taken as it is.",
        show_default="processes",
    ),
]
OrProcesses = Annotated[
    bool, typer.Option("--or-processes", help="Take the depth processes where this machine cannot go so deep.")
]


def up(ctx: typer.Context, depth: Depth = None, or_processes: OrProcesses = False) -> None:
    """Start them, or find them running, with the accounts of the federation."""
    from infra.local import ensure_up

    here = context(ctx)
    environment = ensure_up(here.federation, chosen(here, depth, or_processes=or_processes))
    lines = [f"export {name}={shlex.quote(value)}" for name, value in environment.items()]
    here.answer(environment, "\n".join(['# Up. For other tools, in a shell: eval "$(federate local up)"', *lines]))


def chosen(here: Context, asked: str | None, *, or_processes: bool) -> depths.Depth | None:
    """Return the depth that was asked for, or the one that is taken in its place.

    Raises:
        UnknownDepth: there is no such depth.
        CannotGoSoDeep: this machine lacks something that it needs, and nothing else may be taken.
    """
    from infra.local.twin import depth as depths

    if asked is None:
        return None
    depth = depths.parse(asked)
    lacks = depths.missing(depth) if or_processes else ()
    if not lacks:
        return depth
    for one in lacks:
        here.say(str(one))
    here.say(f"So the nodes are processes: what the depth {depth} would prove of the network is not proven.")
    return depths.Depth.PROCESSES


def down(ctx: typer.Context) -> None:
    """End them; everything that was deployed into them is gone."""
    from infra import local

    local.down()
    context(ctx).answer({"up": False}, "Down.")


def status(ctx: typer.Context) -> None:
    """Say what is up: AWS on loopback, the twin and its depth, the nodes' bodies, the faults."""
    from infra import local

    found = local.status()
    context(ctx).answer(found, "\n".join(_lines(found)))


def _lines(found: dict[str, Any]) -> Iterator[str]:
    shadow = found["twin"]
    if not found["up"]:
        yield "down"
    else:
        yield f"up: AWS on loopback at {found['endpoint']}, process {found['pid']}"
        yield f"  accounts: {', '.join(found['accounts'])}"
    if not shadow["running"]:
        yield "  the twin does not run"
        return
    yield f"  the twin's depth: {shadow['depth']}"
    if "problem" in shadow:
        yield f"  {shadow['problem']}"
    for instance, node in shadow["nodes"].items():
        yield f"  {node['node']} of {node['federation']}: {instance} {'lives' if node['alive'] else 'has no life'}"
    for fault in shadow["faults"]:
        yield f"  fault {fault.get('id', '')}: {fault.get('kind', '')} {fault.get('node', '')}".rstrip()
