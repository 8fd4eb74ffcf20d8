"""``federate doctor``: logs and states of everything into one file, without secrets and without patients' data."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infra.cli.context import Context, context
from infra.errors import FederateError, InvalidFederation

if TYPE_CHECKING:
    from infra.doctor import Missing, Piece, Summary


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: federate doctor -o doctor.tar.gz")(doctor)


def doctor(
    ctx: typer.Context,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="federate-doctor-….tar.gz here if left out.")
    ] = None,
) -> None:
    """Collect what helps to find a fault, of every account that can be reached, into one archive without secrets."""
    from infra.doctor import Exists, of_this_machine, write
    from infra.doctor.nodes import states_of

    here = context(ctx)
    path = output or Path(time.strftime("federate-doctor-%Y%m%dT%H%M%SZ.tar.gz", time.gmtime()))
    if path.exists():  # before anything is asked of any account
        raise Exists(f"{path} is there already.", remedy="Name another file: -o FILE.")
    found: list[Piece | Missing] = [*of_this_machine(here.file, here.home, cdk=_cdk()), *_of_accounts(here)]
    states = [f"{node} is {state}" for node, state in states_of(found).items()]
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
    summary = write(path, found, title=f"{here.file.name}, {when} UTC, {here.aws} AWS", lines=states)
    here.answer(summary.as_dict(), _as_text(summary))


def _of_accounts(here: Context) -> list[Piece | Missing]:
    """Ask the accounts, each for itself; with a file that describes no federation nobody can be asked."""
    from infra.accounts import AwsAccounts
    from infra.doctor import Missing, Piece, of_nodes
    from infra.nodes.reach import Ssm
    from infra.nodes.remote import remotes

    try:
        federation = here.federation
    except InvalidFederation as error:
        return [Piece("here/problems.txt", "what is wrong with the federation's file", f"{error}\n")]
    except FederateError as error:
        return [Missing("nodes", "all nodes", str(error).partition("\n")[0])]
    try:
        here.reach_aws()
    except FederateError as error:
        return [Missing("nodes", "all nodes", str(error).partition("\n")[0])]
    here.say("Asking the accounts…")
    return of_nodes(remotes(federation, AwsAccounts()), federation, Ssm())


def _cdk() -> Path | None:
    from infra.deployment.tools import MissingTool, find_cdk

    try:
        return find_cdk(os.environ)
    except MissingTool:
        return None


def _as_text(summary: Summary) -> str:
    names = [one.name for one in summary.members] + [one.name for one in summary.missing]
    width = max(map(len, names), default=0)
    lines = [f"{summary.file}: {len(summary.members)} files, {summary.size / 1000:.1f} kB"]
    for one in summary.members:
        taken = ", ".join(f"{count} {kind}" for kind, count in one.taken.items())
        lines.append(f"  {one.name:{width}}  {one.size:>8}  {one.about}{f'; taken out: {taken}' if taken else ''}")
    if summary.missing:
        lines.append("Could not be collected:")
        lines += [f"  {one.name:{width}}  {one.why}" for one in summary.missing]
    lines.append(
        "Account ids are in it, and no secret that is known by its form. Look through it before you hand it on."
    )
    return "\n".join(lines)
