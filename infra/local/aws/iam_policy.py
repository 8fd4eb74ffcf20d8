"""A small evaluation of IAM policies, for the few places where loopback AWS asks whether something is allowed. Pure.

Source: "Policy evaluation logic" and "IAM JSON policy elements: Condition operators" in the AWS IAM User Guide. A
condition operator that is not implemented counts as not met. Where a key is absent, a negated operator is met.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable, Mapping
from typing import Any

Document = Mapping[str, Any]
Context = Mapping[str, str]


def allows(documents: Iterable[Document], action: str, resource: str, context: Context) -> bool:
    """Say whether policies allow an action: some statement allows it, and none denies it.

    Args:
        documents: the policies of a role.
        action: for example ``ec2:AcceptVpcPeeringConnection``.
        resource: the ARN.
        context: condition keys with their values.
    """
    matching = [
        statement["Effect"]
        for document in documents
        for statement in statements(document)
        if _matches(statement, "Action", action)
        and _matches(statement, "Resource", resource)
        and condition_holds(statement.get("Condition", {}), context)
    ]
    return "Allow" in matching and "Deny" not in matching


def trusts(trust_policy: Document, account: str, context: Context) -> bool:
    """Say whether a role's trust policy lets an account assume the role."""
    accepted = {"*", account, f"arn:aws:iam::{account}:root"}
    for statement in statements(trust_policy):
        principal = statement.get("Principal", {})
        principals = {"*"} if principal == "*" else set(_list(principal.get("AWS", [])))
        if (
            statement["Effect"] == "Allow"
            and _matches(statement, "Action", "sts:AssumeRole")
            and principals & accepted
            and condition_holds(statement.get("Condition", {}), context)
        ):
            return True
    return False


def statements(document: Document) -> list[Document]:
    """Return a policy's statements; a single one may stand without its list."""
    return [dict(statement) for statement in _list(document.get("Statement", []))]


def condition_holds(condition: Mapping[str, Mapping[str, Any]], context: Context) -> bool:
    """Say whether every operator and key of a Condition block is met."""
    return all(
        _operator_holds(operator, key, [str(value) for value in _list(values)], context)
        for operator, keys in condition.items()
        for key, values in keys.items()
    )


def _operator_holds(operator: str, key: str, values: list[str], context: Context) -> bool:
    name, optional = operator.removesuffix("IfExists"), operator.endswith("IfExists")
    given = {name.lower(): value for name, value in context.items()}.get(key.lower())
    if name == "Null":
        return values == [str(given is None).lower()]
    if given is None:
        return optional or (name in _OPERATORS and "Not" in name)
    compare = _OPERATORS.get(name)
    return compare is not None and compare(given, values)


_OPERATORS: dict[str, Callable[[str, list[str]], bool]] = {
    "StringEquals": lambda given, values: given in values,
    "StringNotEquals": lambda given, values: given not in values,
    "StringLike": lambda given, values: any(fnmatch.fnmatchcase(given, value) for value in values),
    "ArnEquals": lambda given, values: any(fnmatch.fnmatchcase(given, value) for value in values),
    "ArnLike": lambda given, values: any(fnmatch.fnmatchcase(given, value) for value in values),
    "ArnNotEquals": lambda given, values: not any(fnmatch.fnmatchcase(given, value) for value in values),
    "NumericLessThan": lambda given, values: any(float(given) < float(value) for value in values),
    "Bool": lambda given, values: given.lower() in [value.lower() for value in values],
}


def _matches(statement: Document, element: str, value: str) -> bool:
    patterns = [str(pattern) for pattern in _list(statement.get(element, []))]
    if element == "Action":
        return any(fnmatch.fnmatchcase(value.lower(), pattern.lower()) for pattern in patterns)
    return any(fnmatch.fnmatchcase(value, pattern) for pattern in patterns)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
