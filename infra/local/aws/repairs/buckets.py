"""A bucket policy's Deny counts only where its Condition holds; moto leaves the Condition out."""

from __future__ import annotations

import json
from typing import Any

from moto.iam.access_control import IAMPolicy, PermissionResult
from moto.s3.models import FakeBucket

from infra.local.aws.iam_policy import condition_holds, statements

#: A request on loopback stands for one over TLS: nothing leaves the machine, and a policy that asks for TLS is kept.
_CONTEXT = {"aws:SecureTransport": "true"}


def repair() -> None:
    """Evaluate the conditions of bucket policies."""

    def get_permission(self: Any, action: str, resource: str) -> Any:
        if self.policy is None:
            return PermissionResult.NEUTRAL
        document = json.loads(self.policy.decode())
        document["Statement"] = [
            {key: value for key, value in statement.items() if key != "Condition"}
            for statement in statements(document)
            if condition_holds(statement.get("Condition", {}), _CONTEXT)
        ]
        if not document["Statement"]:
            return PermissionResult.NEUTRAL
        return IAMPolicy(json.dumps(document)).is_action_permitted(action, resource)

    FakeBucket.get_permission = get_permission
