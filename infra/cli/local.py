"""``federate local``: AWS on loopback and the twin."""

from __future__ import annotations

import shlex

import typer

from infra.cli import faults
from infra.cli.context import context


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(
        no_args_is_help=True,
        help="AWS on loopback, and the twin that gives its instances a body.",
        epilog="Example: federate local status",
    )
    group.command(epilog="Example: federate local up")(up)
    group.command(epilog="Example: federate local down")(down)
    group.command(epilog="Example: federate --json local status")(status)
    faults.register(group)
    app.add_typer(group, name="local")


def up(ctx: typer.Context) -> None:
    """Start them, or find them running, with the accounts of the federation."""
    from infra.local import ensure_up

    here = context(ctx)
    environment = ensure_up(here.federation)
    lines = [f"export {name}={shlex.quote(value)}" for name, value in environment.items()]
    here.answer(environment, "\n".join(['# Up. For other tools, in a shell: eval "$(federate local up)"', *lines]))


def down(ctx: typer.Context) -> None:
    """End them; everything that was deployed into them is gone."""
    from infra import local

    local.down()
    context(ctx).answer({"up": False}, "Down.")


def status(ctx: typer.Context) -> None:
    """Say what is up."""
    from infra import local

    found = local.status()
    lines = [f"  {name}: {value}" for name, value in found.items() if name != "up"]
    context(ctx).answer(found, "\n".join(["up" if found["up"] else "down", *lines]))
