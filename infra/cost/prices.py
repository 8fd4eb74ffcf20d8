"""The price table: prices with AWS's page of each, as they were when it was made; a file of the user's own over it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from importlib.resources import files
from pathlib import Path
from typing import Any

from infra.cost.table import faults
from infra.errors import FederateError

_FORM = '{"date": "2026-11-26", "regions": {"eu-central-1": {"volume/gp3": {"price": "0.0952", "unit": "GB-month"}}}}'


class BadPrices(FederateError):
    """A price table cannot be read."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Price:
    """One price.

    Args:
        usd: per unit.
        unit: ``hour``, ``GB-month``, ``GB`` and so on.
        page: AWS's page that has it.
    """

    usd: Decimal
    unit: str
    page: str


@dataclass(frozen=True)
class Prices:
    """The table: prices by Region and thing, and those that are the same everywhere.

    Args:
        date: of the table, or of both where the user's own stands over it.
        regions: Region to thing to price.
        everywhere: thing to price.
        left_out: what no estimate by this table has in it.
    """

    date: str
    regions: Mapping[str, Mapping[str, Price]]
    everywhere: Mapping[str, Price]
    left_out: tuple[str, ...]

    def of(self, region: str, thing: str) -> Price | None:
        """Return the price of a thing in a Region, or None where the table does not have it: that is not nothing."""
        return self.regions.get(region, {}).get(thing) or self.everywhere.get(thing)

    @classmethod
    def read(cls, own: Path | None = None) -> Prices:
        """Read the table of the package, and over it one of the user's own.

        Raises:
            BadPrices: the user's cannot be read, or is no table; with every fault of it.
        """
        table = _parse(files(__package__).joinpath("prices.json").read_text("utf-8"), "prices.json")
        if own is None:
            return table
        try:
            text = own.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise BadPrices(f"{own} cannot be read: {error}", remedy=f"Its form: {_FORM}") from None
        over = _parse(text, str(own))
        regions = {
            region: {**table.regions.get(region, {}), **over.regions.get(region, {})}
            for region in {*table.regions, *over.regions}
        }
        both = f"{table.date}, and {own.name} of {over.date}"
        return cls(both, regions, {**table.everywhere, **over.everywhere}, table.left_out)


def _parse(text: str, name: str) -> Prices:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadPrices(f"{name} is no JSON: {error}", remedy=f"Its form: {_FORM}") from None
    problems = list(faults(found, name))
    if problems:
        raise BadPrices("\n".join(str(problem) for problem in problems), remedy=f"Its form: {_FORM}")
    regions = {region: _prices(things) for region, things in found.get("regions", {}).items()}
    return Prices(found["date"], regions, _prices(found.get("everywhere", {})), tuple(found.get("left_out", ())))


def _prices(things: Mapping[str, Any]) -> dict[str, Price]:
    return {
        thing: Price(Decimal(str(entry["price"])), entry["unit"], entry.get("page", ""))
        for thing, entry in things.items()
    }
