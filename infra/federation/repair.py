"""A stand-in for every value that is wrong, so that the rest can be checked in the same go.

A file with a misspelt account id and two overlapping ranges has two problems, and its author should see both at once.
So what is wrong is replaced, and a check that rests on a replaced value is not believed.
"""

from __future__ import annotations

import copy
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from infra.federation.messages import path_of
from infra.federation.model import Federation
from infra.federation.source import Path

#: One pass mends a value, and a second what only then comes to light (a section that was text). More is hopeless.
_PASSES = 6


def validate(data: Any) -> tuple[Federation | None, list[ErrorDetails], set[Path]]:
    """Validate a file's values.

    Returns:
        The federation, with stand-ins where values are wrong; what is wrong; and the paths of the stand-ins. There is
        no federation where the file cannot be mended.
    """
    mended = copy.deepcopy(data)
    errors: list[ErrorDetails] = []
    replaced: set[Path] = set()
    for _ in range(_PASSES):
        try:
            return Federation.model_validate(mended), errors, replaced
        except ValidationError as error:
            details = [detail for detail in error.errors(include_url=False) if not _echo(detail)]
        fresh = [detail for detail in details if not _within(path_of(detail), replaced)]
        errors += fresh
        for detail in details:
            path = path_of(detail)
            # What is still wrong after a first mending is wrong one level up.
            if path in replaced:
                path = path[:-1]
            if not path or not isinstance(mended, dict):
                return None, errors, replaced
            _mend(mended, path, detail["type"])
            replaced.add(path)
    return None, errors, replaced


def _echo(detail: ErrorDetails) -> bool:
    """Tell whether a list is called too short only because what is in it is wrong itself."""
    return detail["type"] == "too_short" and bool(detail["input"])


def _within(path: Path, replaced: set[Path]) -> bool:
    return any(path[:length] in replaced for length in range(1, len(path) + 1))


def _mend(data: dict[Any, Any], path: Path, kind: str) -> None:
    """Put a stand-in at the path, or take the key out so that its default counts."""
    holder: Any = data
    for part in path[:-1]:
        holder = holder.get(_key(holder, part)) if isinstance(holder, dict) else _item(holder, part)
        if not isinstance(holder, dict | list):
            return
    last = path[-1]
    if isinstance(holder, list):
        _mend_item(holder, last, path)
        return
    stand_in = None if kind == "extra_forbidden" else _stand_in(path)
    key = _key(holder, last)
    if stand_in is None:
        holder.pop(key, None)
    else:
        holder[key] = stand_in


def _mend_item(holder: list[Any], last: str | int, path: Path) -> None:
    if isinstance(last, int) and last < len(holder):
        stand_in = _stand_in(path)
        holder[last] = _POSITIVE if stand_in is None else stand_in


#: Stands in for a wrong number in a list: a hospital's id, the processes on a GPU.
_POSITIVE = 1


def _item(holder: Any, part: str | int) -> Any:
    return holder[part] if isinstance(holder, list) and isinstance(part, int) and part < len(holder) else None


def _key(holder: dict[Any, Any], part: str | int) -> Any:
    """Return the key as it is in the mapping: YAML makes ``on`` a truth value and ``1`` a number."""
    return next((key for key in holder if key == part or str(key) == str(part)), part)


def _stand_in(path: Path) -> Any:
    number = path[1] if path[0] == "participants" and len(path) > 1 and isinstance(path[1], int) else 0
    account = {
        "account": f"{number:012d}",
        "profile": f"stand-in-{number}",
        "cidr": "10.255.0.0/16",
    }
    match path:
        case ("participants",):
            return [account | {"id": "stand-in"}]
        case ("participants", int()):
            return account | {"id": f"stand-in-{number}"}
        case ("aggregator",):
            return account
        case ("name",):
            return "stand-in"
        case ("region",):
            return "us-east-1"
        case ("aggregator", str(key)) | ("participants", int(), str(key)):
            return (account | {"id": f"stand-in-{number}"}).get(key)
        case _:
            return None
