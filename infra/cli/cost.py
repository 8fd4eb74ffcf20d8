"""``federate cost``: what a federation costs by AWS's price list, per hour, month and round."""

from __future__ import annotations

import json
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.cli.context import Context, context
from infra.errors import FederateError

if TYPE_CHECKING:
    from infra.cost import Estimate, Prices, Sum


class NoNumber(FederateError):
    """An option is no number, or a negative one."""

    exit_code = 2


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: federate cost --rounds 50 --round-seconds 12")(cost)


def cost(
    ctx: typer.Context,
    rounds: Annotated[
        int | None, typer.Option("--rounds", min=1, help="Rounds of a run; the federation's if left out.")
    ] = None,
    round_seconds: Annotated[
        str | None,
        typer.Option("--round-seconds", metavar="S", help="How long a round takes; the last run's here if left out."),
    ] = None,
    model_bytes: Annotated[
        int | None,
        typer.Option("--model-bytes", min=1, help="The model's size; that of the last run here if left out."),
    ] = None,
    spot_price: Annotated[
        str | None,
        typer.Option("--spot-price", metavar="USD", help="What an hour of a spot node costs; unknown if left out."),
    ] = None,
    prices: Annotated[
        Path | None, typer.Option("--prices", metavar="FILE", help="A price table of yours, over the package's.")
    ] = None,
) -> None:
    """Say what the federation costs: per account and thing, and per round. Asks no account.

    Prices are AWS's list prices of a dated table; one that the table has not is unknown, and never 0.
    """
    from infra.cost import Prices, Run, estimate
    from infra.deployment.assembly import synthesize

    here = context(ctx, makes_nodes=True)
    table = Prices.read(prices)
    seconds, size, origin = _last_run(here)
    run = Run(
        rounds or here.federation.training.rounds,
        _number("--round-seconds", round_seconds) if round_seconds is not None else seconds,
        model_bytes or size,
    )
    spot = _number("--spot-price", spot_price) if spot_price is not None else None
    assembly = synthesize(here.file, here.federation, home=here.home)
    resources: dict[str, list[Any]] = {}
    for stack in assembly.plan.stacks:
        resources.setdefault(stack.node, []).extend(assembly.resources(stack))
    found = estimate(here.federation, resources, table, run, spot_price=spot)
    used = origin if origin and (round_seconds is None or model_bytes is None) else ""
    here.answer(_as_dict(found, table, used), _as_text(here, found, table, used))


def _number(option: str, text: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal(-1)
    if not value.is_finite() or value < 0:
        raise NoNumber(f"{option} is {text!r}; a number that is not negative is due.")
    return value


def _last_run(here: Context) -> tuple[Decimal | None, int | None, str]:
    """Return how long a round of the last run took, the model's size in it, and its folder's name, as far as known."""
    for folder in sorted((here.home / "results" / here.federation.name).glob("*"), reverse=True):
        try:
            told = json.loads((folder / "summary.json").read_text("utf-8"))
            seconds = Decimal(str(told["seconds"])) / int(told["rounds"])
        except (OSError, ValueError, KeyError, TypeError, ArithmeticError):
            continue
        model = folder / "model.safetensors"
        return seconds, model.stat().st_size if model.exists() else None, folder.name
    return None, None, ""


def _as_dict(found: Estimate, prices: Prices, origin: str) -> dict[str, Any]:
    def money(sum_: Sum) -> dict[str, Any]:
        usd = None if sum_.least is None else float(sum_.least)
        return {"usd": usd, "is_complete": not sum_.unknown, "unknown": list(sum_.unknown)}

    nodes = dict.fromkeys(item.node for item in found.items)
    return {
        "prices_of": prices.date,
        "currency": "USD",
        "items": [
            {
                "node": item.node,
                "account": item.account,
                "what": item.what,
                "quantity": float(item.quantity),
                "unit_price": None if item.price is None else float(item.price.usd),
                "unit": None if item.price is None else item.price.unit,
                "page": None if item.price is None else item.price.page,
                "per_hour": None if item.per_hour is None else float(item.per_hour),
                "per_month": None if item.per_month is None else float(item.per_month),
            }
            for item in found.items
        ],
        "accounts": {
            node: {"per_hour": money(found.per_hour(node)), "per_month": money(found.per_month(node))} for node in nodes
        },
        "per_hour": money(found.per_hour()),
        "per_month": money(found.per_month()),
        "per_round": money(found.per_round),
        "per_run": {**money(found.per_run), "rounds": found.run.rounds},
        "round_seconds": None if found.run.round_seconds is None else float(found.run.round_seconds),
        "model_bytes": found.run.model_bytes,
        "measured_in": origin or None,
        "left_out": list(prices.left_out),
    }


def _as_text(here: Context, found: Estimate, prices: Prices, origin: str) -> str:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=Text(f"{here.federation.name}: AWS's list prices in USD, table of {prices.date}"),
        title_justify="left",
        header_style="bold",
    )
    table.add_column("account")
    table.add_column("what")
    for column in ("quantity", "a unit", "per hour", "per month"):
        table.add_column(column, justify="right")
    for node in dict.fromkeys(item.node for item in found.items):
        for item in (item for item in found.items if item.node == node):
            unit = "unknown" if item.price is None else f"{item.price.usd} / {item.price.unit}"
            cells = (_money(item.per_hour, 4), _money(item.per_month, 2))
            table.add_row(f"{item.account} {node}", item.what, f"{item.quantity:f}", unit, *cells)
        cells = (_least(found.per_hour(node), 4), _least(found.per_month(node), 2))
        table.add_row(Text(f"{node} in all", style="bold"), "", "", "", *cells, end_section=True)
    console = Console(width=150, highlight=False)
    with console.capture() as captured:
        console.print(table)
    return "\n".join(
        [captured.get().rstrip(), *_sums(found, origin), *(f"Left out: {what}." for what in prices.left_out)]
    )


def _sums(found: Estimate, origin: str) -> list[str]:
    run = found.run
    seconds = "unknown (--round-seconds)" if run.round_seconds is None else f"{run.round_seconds:.3g} s"
    size = "unknown (--model-bytes)" if run.model_bytes is None else f"{run.model_bytes:,} bytes"
    measured = f"; measured in the run {origin}" if origin else ""
    return [
        f"Per hour: {found.per_hour()}",
        f"Per month of 730 hours: {found.per_month()}",
        f"Per round: {found.per_round}",
        f"Per run of {run.rounds} rounds: {found.per_run}",
        f"A round takes {seconds}, the model has {size}{measured}.",
        "Zones of one letter are taken for the same zone; in two accounts they need not be.",
    ]


def _money(usd: Decimal | None, places: int) -> str:
    return "unknown" if usd is None else f"{usd:,.{places}f}"


def _least(sum_: Sum, places: int) -> str:
    return f"{'≥ ' if sum_.unknown and sum_.least is not None else ''}{_money(sum_.least, places)}"
