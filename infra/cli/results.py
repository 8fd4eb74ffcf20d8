"""``federate results``: what training left behind, on the operator's side, as a page for a reader."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.cli.context import Context, context
from infra.cli.wandb_sync import KEY_VARIABLE, sync

if TYPE_CHECKING:
    from infra.nodes.results import Brought


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog="Example: federate results")(results)
    app.command("wandb-sync", epilog="Example: WANDB_API_KEY=… federate wandb-sync")(wandb_sync)


def bring(here: Context, *, compare: bool = True) -> Brought:
    """Download the last run's results and write the report.

    Args:
        here: the global options.
        compare: train local-only and pooled models beside it, where all sites' data are on this machine.
    """
    from infra.cli.nodes import remotes_of
    from infra.nodes import results as results_of
    from infra.nodes.data import folders_at_hand

    (aggregator,) = remotes_of(here, ["server"])
    folder = results_of.bring(aggregator, here.federation, home=here.home)
    data = folders_at_hand(here.federation, here.file, home=here.home) if compare else None
    if data:
        here.say("compares with models of each site alone and of all data together")
    return results_of.report(folder, here.federation, data)


def finish(here: Context) -> Brought:
    """Bring the results, show them, and upload to Weights & Biases if that is on and there is a key."""
    brought = bring(here)
    here.answer(as_dict(brought), as_text(brought))
    upload(here, brought)
    return brought


def upload(here: Context, brought: Brought) -> None:
    """Upload to Weights & Biases if that is on and there is a key; say how to, if there is none."""
    wandb = here.federation.tracking.wandb
    if wandb.enabled and os.environ.get(KEY_VARIABLE):
        sync(brought.folder, wandb)
        here.say("The run is uploaded to Weights & Biases.")
    elif wandb.enabled:
        here.say(
            f"The run is recorded for Weights & Biases. With {KEY_VARIABLE} set, this uploads it: "
            f"federate wandb-sync --results {brought.folder}"
        )


def results(
    ctx: typer.Context,
    compare: Annotated[
        bool, typer.Option(help="Compare with local-only and pooled models, where all data are on this machine.")
    ] = True,
) -> None:
    """Bring the last run's results here, and write the report."""
    here = context(ctx)
    brought = bring(here, compare=compare)
    here.answer(as_dict(brought), as_text(brought))


def wandb_sync(
    ctx: typer.Context,
    folder: Annotated[
        Path | None, typer.Option("--results", metavar="DIR", help="A results folder; the last run's if left out.")
    ] = None,
) -> None:
    """Upload a run that was recorded offline to Weights & Biases; the key comes from WANDB_API_KEY."""
    from infra.cli.nodes import remotes_of
    from infra.nodes.results import bring as download

    here = context(ctx)
    if folder is None:
        (aggregator,) = remotes_of(here, ["server"])
        folder = download(aggregator, here.federation, home=here.home)
    done = sync(folder, here.federation.tracking.wandb)
    here.answer({"uploaded": [str(run) for run in done]}, f"{len(done)} run(s) uploaded.")


def as_dict(brought: Brought) -> dict[str, Any]:
    """Return results for ``--json``: where they are, and the run's summary if it came to its end."""
    found: dict[str, Any] = {"folder": str(brought.folder), "report": str(brought.report)}
    for name in ("summary", "comparison"):
        path = brought.folder / f"{name}.json"
        if path.exists():
            found[name] = json.loads(path.read_text("utf-8"))
    return found


def as_text(brought: Brought) -> str:
    """Return results for a person: the comparison, then where the report is."""
    return "\n\n".join(part for part in (brought.table, f"Report: {brought.report}") if part)
