"""``federate local fault``: make the twin fail as federations do, and take it back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from infra.cli.context import context
from infra.errors import FederateError

Node = Annotated[str, typer.Argument(metavar="NODE", help="A site's id, or aggregator.")]
Process = Annotated[str | None, typer.Option("--process", metavar="application|agent", help="Only this one.")]

_EVENTS_SHOWN = 10


class NothingNamed(FederateError):
    """It was not said which faults are meant."""

    exit_code = 2


def register(local: typer.Typer) -> None:
    """Add the commands to the group ``local``."""
    group = typer.Typer(
        no_args_is_help=True,
        help="Faults of the twin: links, processes, nodes, disks, clocks, rules and routes. Each can be taken back.",
        epilog="Example: federate local fault slow hospital-a --latency 80ms --rate 100mbit",
    )
    group.command("list", epilog="Example: federate --json local fault list")(show)
    group.command(epilog="Example: federate local fault slow hospital-a --latency 80ms --rate 100mbit")(slow)
    group.command(epilog="Example: federate local fault lossy hospital-a --loss 2%")(lossy)
    group.command(epilog="Example: federate local fault cut hospital-a")(cut)
    group.command(epilog="Example: federate local fault heal hospital-a")(heal)
    group.command(epilog="Example: federate local fault kill aggregator")(kill)
    group.command(epilog="Example: federate local fault freeze hospital-b")(freeze)
    group.command(epilog="Example: federate local fault thaw hospital-b")(thaw)
    group.command(epilog="Example: federate local fault reboot hospital-a")(reboot)
    group.command(epilog="Example: federate local fault interrupt hospital-a --kind spot")(interrupt)
    group.command("power-off", epilog="Example: federate local fault power-off hospital-a")(power_off)
    group.command("power-on", epilog="Example: federate local fault power-on hospital-a")(power_on)
    group.command("fill-disk", epilog="Example: federate local fault fill-disk aggregator")(fill_disk)
    # "-30m" is an offset and no option.
    group.command(
        "skew-clock",
        epilog="Example: federate local fault skew-clock hospital-a +2h",
        context_settings={"ignore_unknown_options": True},
    )(skew_clock)
    group.command(epilog="Example: federate local fault deny hospital-a fl-port")(deny)
    group.command("delete-route", epilog="Example: federate local fault delete-route hospital-a return")(delete_route)
    group.command(epilog="Example: federate local fault clear fault-1")(clear)
    local.add_typer(group, name="fault")


def show(ctx: typer.Context) -> None:
    """List the faults that are in force, and what was done lately."""
    found = _ask("fault.list")
    text = as_text(found["faults"]) or "No faults."
    lately = [
        f"  {event['at']}  {event['kind']} {event['node']}  {event['text']}".rstrip()
        for event in found["events"][-_EVENTS_SHOWN:]
    ]
    context(ctx).answer(found, "\n".join([text, *(["Lately", *lately] if lately else [])]))


def slow(
    ctx: typer.Context,
    node: Node,
    latency: Annotated[str | None, typer.Option(metavar="TIME", help="Added to a round trip: 80ms.")] = None,
    rate: Annotated[str | None, typer.Option(metavar="RATE", help="What each direction carries: 100mbit.")] = None,
    jitter: Annotated[str | None, typer.Option(metavar="TIME", help="By how much the latency varies: 5ms.")] = None,
) -> None:
    """Have a site's link to the hub take longer, or carry less; the aggregator's are all links."""
    _add(ctx, "slow", node, latency=latency, rate=rate, jitter=jitter)


def lossy(
    ctx: typer.Context,
    node: Node,
    loss: Annotated[str, typer.Option(metavar="SHARE", help="Of the packets in each direction: 2%.")],
) -> None:
    """Have a site's link lose packets."""
    _add(ctx, "lossy", node, loss=loss)


def cut(ctx: typer.Context, node: Node) -> None:
    """Have a site's link carry nothing; nobody is told."""
    _add(ctx, "cut", node)


def heal(ctx: typer.Context, node: Node) -> None:
    """Take back slow, lossy and cut."""
    _add(ctx, "heal", node)


def kill(ctx: typer.Context, node: Node, process: Process = None) -> None:
    """Kill the application (kill -9), or the agent."""
    _add(ctx, "kill", node, process=process)


def freeze(ctx: typer.Context, node: Node, process: Process = None) -> None:
    """Have application and agent stand still: alive, and silent."""
    _add(ctx, "freeze", node, process=process)


def thaw(ctx: typer.Context, node: Node) -> None:
    """Take back freeze."""
    _add(ctx, "thaw", node)


def reboot(ctx: typer.Context, node: Node) -> None:
    """Have a node begin anew."""
    _add(ctx, "reboot", node)


def interrupt(
    ctx: typer.Context,
    node: Node,
    kind: Annotated[
        str | None, typer.Option("--kind", metavar="spot|maintenance|rebalance", help="Of what; spot if left out.")
    ] = None,
    after: Annotated[
        str | None, typer.Option(metavar="TIME", help="How far ahead: 2m if left out; maintenance may be days.")
    ] = None,
) -> None:
    """Have a node's metadata service give notice of an interruption; the instance itself is let alone."""
    _add(ctx, "interrupt", node, notice=kind, after=after)


def power_off(ctx: typer.Context, node: Node) -> None:
    """End a node at once; it stays off until it is powered on."""
    _add(ctx, "power-off", node)


def power_on(ctx: typer.Context, node: Node) -> None:
    """Take back power-off."""
    _add(ctx, "power-on", node)


def fill_disk(ctx: typer.Context, node: Node) -> None:
    """Leave no space on a node's disk."""
    _add(ctx, "fill-disk", node)


def skew_clock(
    ctx: typer.Context,
    node: Node,
    by: Annotated[str, typer.Argument(metavar="OFFSET", help="With its sign: +2h, -30m.")],
) -> None:
    """Have a node's clock be wrong."""
    _add(ctx, "skew-clock", node, by=by)


def deny(
    ctx: typer.Context,
    node: Node,
    rule: Annotated[str, typer.Argument(metavar="RULE", help="fl-port, or the id of a security-group rule.")],
) -> None:
    """Have a security-group rule admit nothing."""
    _add(ctx, "deny-rule", node, rule=rule)


def delete_route(
    ctx: typer.Context,
    node: Node,
    which: Annotated[str, typer.Argument(metavar="WHICH", help="to-hub, or return.")],
) -> None:
    """Have a site's route to the hub, or the hub's back to it, be gone."""
    _add(ctx, "delete-route", node, route=which)


def clear(
    ctx: typer.Context,
    which: Annotated[str | None, typer.Argument(metavar="[ID|NODE]", help="A fault, or all of a node.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All faults.")] = False,
) -> None:
    """Take faults back."""
    if (which is None) is not everything:
        raise NothingNamed("Which faults?", remedy="Name a fault or a node, or say --all; fault list shows them.")
    cleared = _ask("fault.clear", which=which or "all")["cleared"]
    context(ctx).answer({"cleared": cleared}, _cleared_in_words(cleared))


def as_text(faults: Sequence[dict[str, Any]]) -> str:
    """Return faults as a table; nothing if there are none."""
    rows = [("id", "fault", "node", "", "since")] + [
        (fault["id"], fault["kind"], fault["node"], fault["text"], fault["since"]) for fault in faults
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  " + "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    return "\n".join(["Faults in the twin", *lines]) if faults else ""


def _add(ctx: typer.Context, kind: str, node: str, **parameters: str | None) -> None:
    given = {name: text for name, text in parameters.items() if text is not None}
    done = _ask("fault.add", kind=kind, node=node, parameters=given)
    if "cleared" in done:
        text = _cleared_in_words(done["cleared"])
    elif "event" in done:
        text = f"Done: {_in_words(done['event'])}."
    else:
        fault = done["fault"]
        text = f"{fault['id']}: {_in_words(fault)}\n  federate local fault clear {fault['id']} takes it back."
    context(ctx).answer(done, text)


def _in_words(fault: dict[str, Any]) -> str:
    return f"{fault['kind']} {fault['node']}" + (f", {fault['text']}" if fault["text"] else "")


def _cleared_in_words(cleared: Sequence[dict[str, Any]]) -> str:
    return "\n".join(f"Taken back: {fault['id']}, {_in_words(fault)}." for fault in cleared) or "There was no fault."


def _ask(operation: str, **arguments: Any) -> dict[str, Any]:
    from infra.local.twin.control import ask

    found: dict[str, Any] = ask(operation, **arguments)
    return found
