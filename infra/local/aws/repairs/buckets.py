"""What a bucket policy denies is denied to whom it says, where its Condition holds.

moto asks for the method's name instead of the action, leaves the Condition out, and does not know who asks. Statements
that allow still open a bucket to everybody of the bucket's account only: moto closes other accounts' buckets itself.
Source: "Actions, resources, and condition keys for Amazon S3" of the Service Authorization Reference.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from flask import has_request_context, request
from moto.iam.access_control import IAMPolicy, PermissionResult
from moto.s3.models import FakeBucket, S3Backend

from infra.local.aws.iam_policy import condition_holds, statements
from infra.local.aws.repairs import identities

#: A request on loopback stands for one over TLS: nothing leaves the machine, and a policy that asks for TLS is kept.
_ENCRYPTED = {"aws:SecureTransport": "true", "s3:TlsVersion": "1.3"}
_CREDENTIAL = re.compile(r"Credential=([^/,]+)/")
_SESSION = re.compile(r"arn:aws:sts::(\d{12}):assumed-role/([^/]+)/")
#: Headers that are condition keys under their own names.
_HEADERS = (
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-server-side-encryption-customer-algorithm",
)
#: What is asked of an object beside its content, by the query's key.
_SUBRESOURCES = {"tagging": "Tagging", "acl": "Acl", "attributes": "Attributes", "versionId": "Version"}


def repair() -> None:
    """Evaluate bucket policies for the action, the caller and the request's headers."""

    def get_permission(self: Any, action: str, resource: str) -> Any:
        if self.policy is None:
            return PermissionResult.NEUTRAL
        context = _context()
        document = json.loads(self.policy.decode())
        document["Statement"] = [
            {key: value for key, value in statement.items() if key != "Condition"}
            for statement in statements(document)
            if condition_holds(statement.get("Condition", {}), context) and not _is_of_a_service(statement)
        ]
        if not document["Statement"]:
            return PermissionResult.NEUTRAL
        return IAMPolicy(json.dumps(document)).is_action_permitted(_real_action(action), resource)

    FakeBucket.get_permission = get_permission
    # AWS delivers an access log hours later; moto at once, so that no new stack with one could be rolled back.
    S3Backend.log_incoming_request = lambda *_, **__: None


def _is_of_a_service(statement: Mapping[str, Any]) -> bool:
    """Say whether a statement is about services of AWS alone: none of them calls this API."""
    principal = statement.get("Principal")
    return isinstance(principal, dict) and set(principal) == {"Service"}


def _real_action(action: str) -> str:
    """Return the action that a request for an object takes, where moto names its method."""
    if not has_request_context():
        return action
    verb = {"s3:GetObject": "Get", "s3:HeadObject": "Get", "s3:PutObject": "Put"}.get(action)
    if verb is None:
        return action
    asked = next((name for key, name in _SUBRESOURCES.items() if key in request.args), "")
    return f"s3:{verb}Object{asked}"


def _context() -> dict[str, str]:
    """Return the condition keys of the request that is being answered."""
    if not has_request_context():
        return dict(_ENCRYPTED)
    found = _CREDENTIAL.search(request.headers.get("Authorization", ""))
    key = found[1] if found else request.args.get("X-Amz-Credential", "").partition("/")[0]
    headers = {f"s3:{name}": value for name in _HEADERS if (value := request.headers.get(name))}
    return {**_ENCRYPTED, **headers, **_caller(key)}


def _caller(access_key: str) -> dict[str, str]:
    """Return who holds an access key; a role's session counts as the role."""
    holder = identities.holder_of(access_key)
    if holder is None:
        return {}
    account, arn = holder
    session = _SESSION.match(arn)
    role = f"arn:aws:iam::{session[1]}:role/{session[2]}" if session else arn
    return {"aws:PrincipalAccount": account, "aws:PrincipalArn": role, "aws:PrincipalIsAWSService": "false"}
