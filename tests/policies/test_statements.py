"""Every statement that allows something names what, and for whom; the exceptions are here, each with its reason."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from policy_table import Tell
from variants import VARIANTS

#: Actions for which AWS offers no resource to name; each must then be narrowed by a condition.
WITHOUT_RESOURCES = {
    **{
        f"ec2messages:{action}": "the message delivery service has no resource types"
        for action in (
            "AcknowledgeMessage",
            "DeleteMessage",
            "FailMessage",
            "GetEndpoint",
            "GetMessages",
            "SendReply",
        )
    },
    "ssmmessages:CreateControlChannel": "the message gateway has no resource types",
    "ssmmessages:CreateDataChannel": "the message gateway has no resource types",
    "ssmmessages:OpenControlChannel": "the message gateway has no resource types",
    "ssmmessages:OpenDataChannel": "the message gateway has no resource types",
}
#: Conditions that say who asks: with one of them, ``*`` as a principal is not everybody.
WHO_ASKS = {"aws:PrincipalArn", "aws:PrincipalAccount", "aws:PrincipalOrgID", "aws:SourceAccount", "kms:CallerAccount"}
#: Operators under which a condition admits a request without its key, or only denies a value.
LOOSE = ("IfExists", "Not", "Null", "ForAllValues")
#: Statements of a role's trust have no resource, and need none.
TRUST = "AssumeRolePolicyDocument"

Statement = dict[str, Any]


def _documents(value: Any, key: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every policy document of a template with the name of the property that holds it."""
    if isinstance(value, dict):
        if "Statement" in value:
            yield key, value
        else:
            for name, part in value.items():
                yield from _documents(part, name)
    elif isinstance(value, list):
        for part in value:
            yield from _documents(part, key)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _conditions(statement: Statement) -> set[str]:
    """Return the keys of the conditions that hold only where the request has them."""
    return {
        key
        for operator, keys in statement.get("Condition", {}).items()
        if not any(loose in operator for loose in LOOSE)
        for key in keys
    }


def _is_everybody(principal: Any) -> bool:
    return any("*" in _listed(part) for part in (principal.values() if isinstance(principal, dict) else [principal]))


def _wide(template: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wider than it must be, over every document of a template."""
    for logical_id, resource in template["Resources"].items():
        kind = resource["Type"]
        for key, document in _documents(resource.get("Properties", {})):
            for statement in _listed(document["Statement"]):
                if statement["Effect"] == "Allow":
                    for problem in _problems(statement, kind, key):
                        yield f"{logical_id} {statement.get('Sid', key)}: {problem}"
        for arn in resource.get("Properties", {}).get("ManagedPolicyArns", []):
            yield f"{logical_id}: comes with the managed policy {arn}"


def _problems(statement: Statement, kind: str, key: str) -> Iterator[str]:
    conditions = _conditions(statement)
    for part in ("NotAction", "NotResource", "NotPrincipal"):
        if part in statement:
            yield f"{part} allows all the rest"
    actions = _listed(statement.get("Action", []))
    for action in actions:
        if "*" in action:
            yield f"action {action}"
    if "Principal" in statement and _is_everybody(statement["Principal"]) and not conditions & WHO_ASKS:
        yield "everybody"
    if key == TRUST:
        return
    if "Resource" not in statement and "NotResource" not in statement:
        yield "no resource"
    if "*" in _listed(statement.get("Resource", [])):
        # In a key's own policy "*" is this key; then who may is what must be narrow.
        if kind == "AWS::KMS::Key":
            return
        for action in actions:
            if action not in WITHOUT_RESOURCES:
                yield f"{action} on *"
        if not conditions:
            yield "* without a condition"


def test_every_statement_names_its_resource_or_has_a_condition(scanned: Any, tell: Tell) -> None:
    found = {name: list(_wide(template)) for name, template in scanned.templates.items()}
    assert {name: wide for name, wide in found.items() if wide} == {}
    statements = sum(
        len(_listed(document["Statement"]))
        for template in scanned.templates.values()
        for _, document in _documents(template)
    )
    assert statements > 100
    over = f"{len(VARIANTS)} federations, {statements} statements"
    tell("statements", over=over, templates=len(found), rules=8, findings=0, acknowledged=0)


def test_every_exception_is_needed(scanned: Any) -> None:
    used = {
        action
        for template in scanned.templates.values()
        for _, document in _documents(template)
        for statement in document["Statement"]
        if statement.get("Resource") in ("*", ["*"])
        for action in _listed(statement["Action"])
    }
    assert used >= set(WITHOUT_RESOURCES)


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ({"Action": ["s3:GetObject"], "Resource": ["*"]}, "s3:GetObject on *"),
        ({"Action": "s3:*", "Resource": "arn:aws:s3:::b"}, "action s3:*"),
        ({"Action": "*", "Resource": "*"}, "action *"),
        ({"NotAction": "iam:*", "Resource": "arn:aws:s3:::b"}, "NotAction allows all the rest"),
        ({"Action": "s3:GetObject", "NotResource": "arn:aws:s3:::b"}, "NotResource allows all the rest"),
        ({"Action": "s3:GetObject"}, "no resource"),
        ({"Action": "ssmmessages:OpenDataChannel", "Resource": "*"}, "* without a condition"),
        ({"Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/*", "Principal": "*"}, "everybody"),
        ({"Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/*", "Principal": {"AWS": ["*"]}}, "everybody"),
        (
            {
                "Action": "s3:GetObject",
                "Resource": "arn:aws:s3:::b/*",
                "Principal": "*",
                "Condition": {"StringNotEquals": {"aws:PrincipalArn": "arn:aws:iam::111111111111:role/x"}},
            },
            "everybody",
        ),
    ],
)
@pytest.mark.parametrize("place", ["role", "endpoint", "bucket"])
def test_canary_a_statement_that_is_too_wide_is_found_wherever_it_stands(
    scanned: Any, place: str, statement: Statement, problem: str
) -> None:
    stack, logical_id, at = {
        "role": ("SiteNode-hospital-a", "Role", ("Policies", 0, "PolicyDocument")),
        "endpoint": ("SiteNetwork-hospital-a", "S3Endpoint", ("PolicyDocument",)),
        "bucket": ("SiteStorage-hospital-a", "BucketPolicy", ("PolicyDocument",)),
    }[place]
    template = copy.deepcopy(scanned.templates[f"example/{stack}"])
    document = template["Resources"][logical_id]["Properties"]
    for step in at:
        document = document[step]
    document["Statement"].append({"Sid": "Planted", "Effect": "Allow", **statement})
    assert any(found == f"{logical_id} Planted: {problem}" for found in _wide(template))


def test_canary_a_key_that_anybody_may_use_is_found(scanned: Any) -> None:
    template = json.loads(json.dumps(scanned.templates["example/SiteStorage-hospital-a"]))
    policy = template["Resources"]["Key"]["Properties"]["KeyPolicy"]
    policy["Statement"].append({"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "*", "Principal": "*"})
    assert any("everybody" in found for found in _wide(template))


def test_canary_a_managed_policy_is_found(scanned: Any) -> None:
    template = json.loads(json.dumps(scanned.templates["example/SiteNode-hospital-a"]))
    template["Resources"]["Role"]["Properties"]["ManagedPolicyArns"] = ["arn:aws:iam::aws:policy/ReadOnlyAccess"]
    assert list(_wide(template)) == ["Role: comes with the managed policy arn:aws:iam::aws:policy/ReadOnlyAccess"]
