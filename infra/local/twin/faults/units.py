"""Quantities as a person writes them, with their unit: ``80ms``, ``100mbit``, ``1%``, ``+2h``."""

from __future__ import annotations

import re

from infra.local.twin.faults.errors import FaultRefused

_MILLISECONDS = {"ms": 1.0, "s": 1000.0}
_MBIT = {"kbit": 0.001, "mbit": 1.0, "gbit": 1000.0}
_PERCENT = {"%": 1.0}
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_NUMBER = r"(\d+(?:\.\d+)?|\.\d+)"


def milliseconds(name: str, text: str, *, most: float) -> float:
    """Read a time, ``80ms`` or ``0.5s``; zero to ``most`` milliseconds."""
    return _quantity(name, text, _MILLISECONDS, f"a time from 0ms to {most:g}ms, such as 80ms", 0.0, most)


def seconds(name: str, text: str) -> float:
    """Read a time, ``30s``, ``2m`` or ``14d``; up to ninety days."""
    return _quantity(name, text, _SECONDS, "a time up to 90d, such as 2m", 0.0, 90 * 86400.0)


def mbit(name: str, text: str) -> float:
    """Read a rate, ``100mbit``, ``512kbit`` or ``1gbit``; in 10^6 bits a second."""
    allowed = "a rate from 64kbit to 10gbit, such as 100mbit"
    return _quantity(name, text.lower().removesuffix("/s"), _MBIT, allowed, 0.064, 10_000.0)


def percent(name: str, text: str) -> float:
    """Read a share, ``2%``; more than none and less than all."""
    return _quantity(name, text, _PERCENT, "a share from 0.001% to 99%, such as 2%; cut loses all", 0.001, 99.0)


def offset_seconds(name: str, text: str) -> float:
    """Read a signed time, ``+2h``, ``-30m``, ``+1d``; up to ten years each way, and not zero."""
    allowed = "a sign, a number and s, m, h or d, up to 3650d: +2h, -30m"
    if text[:1] not in ("+", "-"):
        raise _wrong(name, text, allowed)
    size = _quantity(name, text[1:], _SECONDS, allowed, 0.001, 3650 * 86400.0, whole=text)
    return -size if text[0] == "-" else size


def _quantity(
    name: str, text: str, units: dict[str, float], allowed: str, least: float, most: float, *, whole: str = ""
) -> float:
    found = re.fullmatch(rf"{_NUMBER}\s*({'|'.join(units)})", text.strip())
    value = float(found[1]) * units[found[2]] if found else -1.0
    if not least <= value <= most:
        raise _wrong(name, whole or text, allowed)
    return value


def _wrong(name: str, text: str, allowed: str) -> FaultRefused:
    return FaultRefused(f"{name} is {text!r}.", remedy=f"Allowed: {allowed}.")
