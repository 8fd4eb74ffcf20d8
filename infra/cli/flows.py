"""``federate local flows``: what has crossed the peerings of the twin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import typer

from infra.cli.context import context

_COLUMNS = ("peering", "from", "to", "protocol", "port", "packets", "bytes")


def register(group: typer.Typer) -> None:
    """Add the command to the group ``local``."""
    group.command(epilog="Example: federate local flows")(flows)


def flows(ctx: typer.Context) -> None:
    """Say what has crossed each peering since it was made: who with whom, on which port, and how much."""
    from infra.local.twin.control import ask

    found = ask("flows")
    context(ctx).answer(found, table(found))


def table(found: Sequence[dict[str, Any]]) -> str:
    """Return the flows as lines of columns."""
    if not found:
        return "Nothing has crossed a peering."
    rows = [_COLUMNS, *(_row(flow) for flow in found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column in _COLUMNS[-3:] else cell.ljust(width)
            for column, cell, width in zip(_COLUMNS, row, widths, strict=True)
        ).rstrip()
        for row in rows
    )


def _row(flow: dict[str, Any]) -> tuple[str, ...]:
    """Name both ends by node and address; what was counted without a name has the node alone."""
    names = flow["between"] if flow["direction"] == "out" else reversed(flow["between"])
    ends = [
        f"{name} ({address})" if address else name
        for name, address in zip(names, (flow["source"], flow["destination"]), strict=True)
    ]
    port = str(flow["port"]) if flow["port"] else ""
    return (flow["peering"], *ends, flow["protocol"], port, f"{flow['packets']:,}", f"{flow['bytes']:,}")
