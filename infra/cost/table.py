"""What a price table may look like: every fault of a file at once, each with its place in it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

from infra.errors import Problem
from infra.federation.words import did_you_mean, listed

#: Things that have a price, and the unit that the estimate reckons with.
UNITS: Mapping[str, str] = {
    "interface-endpoint": "hour",
    "nat-gateway": "hour",
    "public-address": "hour",
    "kms-key": "key-month",
    "alarm": "metric-month",
    "composite-alarm": "alarm-month",
    "dashboard": "dashboard-month",
    "transfer/same-zone": "GB",
    "transfer/other-zone": "GB",
    "transfer/other-region": "GB",
}
#: Likewise, where the name has a type of AWS's in it.
_PATTERNS = (
    (re.compile(r"instance/[a-z0-9-]+\.[a-z0-9-]+"), "hour"),
    (re.compile(r"volume/[a-z][a-z0-9]*"), "GB-month"),
)
_REGION = re.compile(r"[a-z]{2,4}(-[a-z]+)+-\d")
#: Nothing costs as much; beyond it reckoning itself would fail.
_MOST_USD = Decimal(10) ** 9
_KEYS = ("date", "currency", "note", "everywhere", "regions", "left_out")
_ENTRY_KEYS = ("price", "unit", "page", "read")


def faults(found: Any, name: str) -> Iterator[Problem]:
    """Yield what is wrong with a table.

    Args:
        found: what the file has, as JSON gives it.
        name: the file, for the problems.
    """
    if not isinstance(found, dict):
        yield Problem(name, f"{_shown(found)} is no price table.", "A table is an object with date and regions.")
        return
    yield from _unknown(found, _KEYS, name)
    yield from _date(found, name)
    if found.get("currency", "USD") != "USD":
        yield Problem(f"{name}  currency", f"{_shown(found['currency'])} is no currency of this table.", "USD.")
    left_out = found.get("left_out", [])
    if not isinstance(left_out, list) or not all(isinstance(one, str) for one in left_out):
        yield Problem(f"{name}  left_out", f"{_shown(left_out)} is no list of texts.", "What no estimate has in it.")
    yield from _things(found.get("everywhere", {}), f"{name}  everywhere")
    regions = found.get("regions", {})
    if not isinstance(regions, dict):
        yield Problem(f"{name}  regions", f"{_shown(regions)} is no object.", "Regions, each with its prices.")
        return
    if not regions and not found.get("everywhere"):
        yield Problem(name, "it has no price.", "Prices stand under regions, those of all Regions under everywhere.")
    for region, things in regions.items():
        if not _REGION.fullmatch(region):
            yield Problem(f"{name}  regions", f"{_shown(region)} is no Region.", "Such as eu-central-1.")
        yield from _things(things, f"{name}  regions.{region}")


def _date(found: Mapping[str, Any], name: str) -> Iterator[Problem]:
    if "date" not in found:
        yield Problem(name, "date is missing.", "The day of which the prices are, such as 2026-11-26.")
        return
    text = found["date"]
    try:
        if not isinstance(text, str) or len(text) != len("2026-11-26"):
            raise ValueError
        date.fromisoformat(text)
    except ValueError:
        yield Problem(f"{name}  date", f"{_shown(text)} is no day.", 'A text such as "2026-11-26".')


def _things(things: Any, where: str) -> Iterator[Problem]:
    if not isinstance(things, dict):
        yield Problem(where, f"{_shown(things)} is no object.", "Things, each with its price and unit.")
        return
    for thing, entry in things.items():
        unit = _unit(thing)
        if unit is None:
            none = f"{_shown(thing)} is nothing that has a price here."
            known = f"There are instance/<type>, volume/<type>, {listed(UNITS)}."
            yield Problem(where, none, known, did_you_mean(thing, (*UNITS, "volume/gp3")))
        elif not isinstance(entry, dict):
            yield Problem(f"{where}.{thing}", f"{_shown(entry)} is no object.", "An object with price and unit.")
        else:
            yield from _entry(entry, unit, f"{where}.{thing}")


def _entry(entry: Mapping[str, Any], unit: str, where: str) -> Iterator[Problem]:
    yield from _unknown(entry, _ENTRY_KEYS, where)
    for key in ("page", "read"):
        if not isinstance(entry.get(key, ""), str):
            yield Problem(f"{where}.{key}", f"{_shown(entry[key])} is no text.")
    if "price" not in entry:
        yield Problem(where, "price is missing.", "USD per unit.")
    elif not _is_price(entry["price"]):
        found = f"{_shown(entry['price'])} is no price."
        yield Problem(f"{where}.price", found, 'USD per unit, a number that is not negative, such as "0.0952".')
    if "unit" not in entry:
        yield Problem(where, "unit is missing.", f"Its unit is {unit}.")
    elif entry["unit"] != unit:
        yield Problem(
            f"{where}.unit", f"{_shown(entry['unit'])} is not what the estimate reckons with.", f"Its unit is {unit}."
        )


def _unit(thing: str) -> str | None:
    return UNITS.get(thing) or next((unit for pattern, unit in _PATTERNS if pattern.fullmatch(thing)), None)


def _is_price(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return False
    try:
        usd = Decimal(str(value))
    except InvalidOperation:
        return False
    return usd.is_finite() and 0 <= usd < _MOST_USD


def _unknown(found: Mapping[str, Any], known: tuple[str, ...], where: str) -> Iterator[Problem]:
    for key in found:
        if key not in known:
            yield Problem(where, f"{_shown(key)} is no key of it.", f"Keys: {listed(known)}.", did_you_mean(key, known))


def _shown(value: Any) -> str:
    """Return a value as the file has it, cut where it is long."""
    text = value if isinstance(value, str) else repr(value)
    return f"{text[:60]}…" if len(text) > 60 else text or "an empty text"
