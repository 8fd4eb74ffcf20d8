"""``federate check`` and ``federate schema``."""

from __future__ import annotations

import typer

from infra.cli.context import context


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog="Example: federate --file federation.yaml check")(check)
    app.command(epilog="Example: federate schema > federation.schema.json")(schema)


def check(ctx: typer.Context) -> None:
    """Check the federation's file as a whole; asks no account."""
    from infra.federation.derive import nodes

    here = context(ctx, makes_nodes=True)
    found = nodes(here.federation)
    document = [
        {"id": node.id, "account": node.account, "region": node.region, "address": str(node.address)} for node in found
    ]
    lines = [f"  {node.id}: account {node.account}, {node.region}, {node.address}" for node in found]
    here.answer(document, "\n".join([f"{here.file} describes the federation {here.federation.name}:", *lines]))


def schema() -> None:
    """Print the JSON Schema of the federation's file, for an editor's completion."""
    from infra.federation.schema import schema_text

    print(schema_text(), end="")
