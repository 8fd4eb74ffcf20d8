"""``federate picture``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from infra.cli.context import context
from infra.errors import FederateError


class NotDrawn(FederateError):
    """The picture cannot be written."""

    exit_code = 2


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: federate picture --output federation.svg")(picture)


def picture(
    ctx: typer.Context,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to, an SVG.")] = Path("federation.svg"),
) -> None:
    """Draw the accounts, what each admits, dials and keeps, from the templates; asks no account."""
    from infra.deployment.assembly import synthesize
    from infra.deployment.picture import as_svg, read

    here = context(ctx, makes_nodes=True)
    assembly = synthesize(here.file, here.federation, home=here.home)
    text = as_svg(here.federation.name, read(assembly.folder, assembly.plan))
    try:
        output.write_text(text, "utf-8")
    except OSError as error:
        raise NotDrawn(f"{output} cannot be written: {error.strerror}.", remedy="Name another place: -o.") from None
    here.answer({"picture": str(output)}, f"Drawn: {output}")
