"""Whether a policy has certain statements, also where it writes them in other words: wider, or split up.

What is found to be there is there. What is not found may still be there in words that this does not understand
(``NotAction``, ``NotResource``, ``NotPrincipal``, conditions that it does not compare), and other statements may take
away what one gives. It is no simulator.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

Statement = Mapping[str, Any]
#: Operators that say the same.
_SAME = {"arnequals": "arnlike", "arnnotequals": "arnnotlike"}
#: Those whose values may have wildcards.
_LIKE = ("stringlike", "arnlike")


def lacking(required: Sequence[Statement], found: Sequence[Statement]) -> list[Statement]:
    """Return those of the required statements that the found ones do not have.

    Args:
        required: as Federate writes them.
        found: the statements of a policy, as its owner wrote them.
    """
    return [statement for statement in required if not all(_has(found, part) for part in _parts(statement))]


def names_service(found: Sequence[Statement], service: str) -> bool:
    """Say whether any statement allows a service anything: ``logs.us-east-1.amazonaws.com``."""
    return any(one.get("Effect") == "Allow" and service in _texts(_principals(one).get("Service", ())) for one in found)


def statements_of(document: Mapping[str, Any]) -> list[Statement]:
    """Return a policy's statements; a single one need not be in a list."""
    found = document.get("Statement", [])
    return [found] if isinstance(found, Mapping) else list(found)


def _parts(statement: Statement) -> list[Statement]:
    """Return a statement for each of its actions and resources: others may be there in statements of their own."""
    return [
        {**statement, "Action": action, "Resource": resource}
        for action in _texts(statement["Action"])
        for resource in _texts(statement["Resource"])
    ]


def _has(found: Sequence[Statement], part: Statement) -> bool:
    return any(_covers(one, part) for one in found)


def _covers(wide: Statement, part: Statement) -> bool:
    """Say whether a statement holds wherever another does that has one action and one resource."""
    return (
        wide.get("Effect") == part["Effect"]
        and not {"NotAction", "NotResource", "NotPrincipal"} & wide.keys()
        and _names_all(_principals(wide), _principals(part))
        and any(_matches(pattern.lower(), part["Action"].lower()) for pattern in _texts(wide.get("Action", ())))
        and any(_matches(pattern, part["Resource"]) for pattern in _texts(wide.get("Resource", ())))
        and all(
            _is_implied(operator, key, values, part.get("Condition", {}))
            for operator, keys in wide.get("Condition", {}).items()
            for key, values in keys.items()
        )
    )


def _principals(statement: Statement) -> Mapping[str, Any]:
    given = statement.get("Principal", {})
    return given if isinstance(given, Mapping) else {"AWS": given}


def _names_all(wide: Mapping[str, Any], narrow: Mapping[str, Any]) -> bool:
    def names(kind: str, who: str) -> bool:
        known = _texts(wide.get(kind, ()))
        account = re.fullmatch(r"arn:[^:]*:iam::(\d{12}):root", who)
        is_anybody = kind == "AWS" and "*" in known
        return is_anybody or who in known or bool(account and account[1] in known)

    return all(names(kind, who) for kind, whom in narrow.items() for who in _texts(whom))


def _is_implied(operator: str, key: str, values: Any, conditions: Mapping[str, Any]) -> bool:
    """Say whether a condition holds wherever the others do: it is among them, or asks for less."""
    wanted, if_exists = _operator(operator)
    for other, keys in conditions.items():
        known, needs_no_key = _operator(other)
        is_same = known == wanted or (known, wanted) == ("stringequals", "stringlike")
        if not is_same or (needs_no_key and not if_exists):
            continue
        for name, given in keys.items():
            if name.lower() == key.lower() and _asks_less(wanted, _texts(values), _texts(given)):
                return True
    return False


def _asks_less(operator: str, wide: Sequence[str], narrow: Sequence[str]) -> bool:
    if "not" in operator:  # it holds for all but these: the fewer, the more
        return set(wide) <= set(narrow)
    if operator in _LIKE:
        return all(any(_matches(pattern, value) for pattern in wide) for value in narrow)
    if operator in ("bool", "null"):
        return {value.lower() for value in narrow} <= {value.lower() for value in wide}
    return set(narrow) <= set(wide)


def _operator(name: str) -> tuple[str, bool]:
    """Return an operator as it is compared, and whether it holds where the key is missing."""
    lower = name.lower()
    bare = lower.removesuffix("ifexists")
    return _SAME.get(bare, bare), bare != lower


def _matches(pattern: str, text: str) -> bool:
    """Say whether a pattern matches whatever another pattern does; what is a wildcard there is none of ours."""
    parts = (".*" if each == "*" else "[^*]" if each == "?" else re.escape(each) for each in pattern)
    return re.fullmatch("".join(parts), text, re.DOTALL) is not None


def _texts(value: Any) -> list[str]:
    values = [value] if isinstance(value, str | bool | int | float) else list(value)
    return [str(each) for each in values]
