"""JSON that came over the wire: parsed strictly, and never anything but text, numbers, lists and objects."""

from __future__ import annotations

import json
from typing import Any


class WireError(ValueError):
    """What arrived, or is about to be sent, is not a message of this protocol."""


def parse_json(data: bytes) -> dict[str, Any]:
    """Return a JSON object.

    Raises:
        WireError: it is not UTF-8 JSON, not an object, too deep, has a key twice, or NaN or infinity in it.
    """
    try:
        found = json.loads(data.decode("utf-8"), parse_constant=_no_constant, object_pairs_hook=_unique)
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise WireError(f"not JSON: {str(error)[:80]}") from None
    if not isinstance(found, dict):
        raise WireError(f"a JSON object is expected, not {type(found).__name__}")
    return found


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found
