"""``federate reachability``: who can open what to whom, measured in the twin, beside what the federation intends."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from infra.cli.context import Aws, Context, context
from infra.errors import FederateError

#: The state of a federation that is deployed for the report alone.
_HOME = "reachability"
_FOLDER = Path("build") / "reachability"
_WITHOUT_NETWORK = "processes"
_SECONDS = 600.0


class NothingToMeasure(FederateError):
    """There is no network in which something could be measured."""

    exit_code = 4


class NotAsIntended(FederateError):
    """Somebody reaches whom he should not, or does not reach whom he should."""

    exit_code = 6


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: federate reachability --out report")(reachability)


def reachability(
    ctx: typer.Context,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the report is written.")] = _FOLDER,
    deployed: Annotated[
        bool,
        typer.Option("--deployed", help="Measure what is deployed into loopback AWS now, with its faults."),
    ] = False,
) -> None:
    """Measure who reaches whom; write it as a table, a picture and JSON. A difference from the model is an error.

    The federation is deployed into a loopback AWS of the report's own, its network is built from what the accounts
    hold, and every pair is tried. Nothing of it is left afterwards.
    """
    from infra import local
    from infra.cli.deploy import place
    from infra.local.twin import depth as depths

    given = context(ctx)
    if deployed:
        told = _measured(given)
    else:
        depths.refuse_unless_possible(depths.Depth.NETWORK)
        os.environ["FEDERATE_HOME"] = str(given.home / _HOME)
        os.environ["FEDERATE_DEPTH"] = depths.Depth.NETWORK.value
        here = Context(given.file, Aws.LOOPBACK, given.json, makes_nodes=True)
        local.down()  # of a report that was killed
        try:
            here.say(f"Deploying {len(here.federation.participants) + 1} accounts into AWS on loopback")
            place(here).deploy()
            here.say("Measuring")
            told = _measured(here)
        finally:
            local.down()
    files = _write(told, out)
    given.answer(told["document"], f"{told['text']}\n{', '.join(map(str, files))}")
    if told["differences"]:
        raise NotAsIntended(
            told["differences"],
            remedy="Compare the accounts' route tables and security groups with docs/network.md; faults of the twin "
            "count as well: federate local fault list.",
        )


def _measured(here: Context) -> dict[str, Any]:
    """Ask the twin.

    Raises:
        NothingToMeasure: it does not run, or its nodes are only processes.
    """
    from infra.local import twin
    from infra.local.twin.control import ask

    status = twin.status()
    if not status["running"] or status["depth"] == _WITHOUT_NETWORK:
        found = "The twin's nodes are processes on loopback" if status["running"] else "The twin does not run"
        raise NothingToMeasure(
            f"{found}: there is no network to measure.",
            remedy="federate reachability without --deployed makes one; or make deploy AWS=loopback DEPTH=network.",
        )
    told: dict[str, Any] = ask("reachability", federation=here.federation.model_dump(mode="json"), timeout=_SECONDS)
    return told


def _write(told: dict[str, Any], folder: Path) -> list[Path]:
    import json

    folder.mkdir(parents=True, exist_ok=True)
    contents = {
        "reachability.md": told["markdown"],
        "reachability.svg": told["svg"],
        "reachability.json": json.dumps(told["document"], indent=1) + "\n",
    }
    for name, content in contents.items():
        (folder / name).write_text(content, "utf-8")
    return [folder / name for name in contents]
