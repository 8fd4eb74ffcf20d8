"""The key of a log group: moto cannot change it, and does not ask whether the key lets CloudWatch Logs use it.

Nothing is really encrypted. Source: "Encrypt log data in CloudWatch Logs using AWS KMS" of the CloudWatch Logs User
Guide, which has the key's policy and the encryption context.
"""

from __future__ import annotations

import json
from typing import Any

from moto.kms.models import kms_backends
from moto.logs.models import LogsBackend
from moto.logs.responses import LogsResponse

from infra.local.aws.additions.refusal import ServiceRefusal
from infra.local.aws.iam_policy import condition_holds, statements

#: What the service needs of a key to write and to read a log.
_NEEDED = {"kms:Decrypt", "kms:GenerateDataKey"}


def add() -> None:
    """Answer the two calls, and have a new log group's key asked."""
    create = LogsBackend.create_log_group

    def create_log_group(self: Any, log_group_name: str, tags: Any, **kwargs: Any) -> Any:
        if kwargs.get("kmsKeyId"):
            _refuse_unless_usable(self.account_id, self.region_name, log_group_name, kwargs["kmsKeyId"])
        return create(self, log_group_name, tags, **kwargs)

    LogsBackend.create_log_group = create_log_group
    LogsResponse.associate_kms_key = _associate
    LogsResponse.disassociate_kms_key = _disassociate


def _associate(self: Any) -> str:
    group = _group(self)
    key = str(self._get_param("kmsKeyId"))
    _refuse_unless_usable(self.current_account, self.region, group.name, key)
    group.kms_key_id = key
    return ""


def _disassociate(self: Any) -> str:
    _group(self).kms_key_id = None
    return ""


def _group(response: Any) -> Any:
    name = str(response._get_param("logGroupName"))
    group = response.logs_backend.groups.get(name)
    if group is None:
        raise ServiceRefusal("ResourceNotFoundException", "The specified log group does not exist.")
    return group


def _refuse_unless_usable(account: str, region: str, group: str, key_arn: str) -> None:
    arn = f"arn:aws:logs:{region}:{account}:log-group:{group}"
    _, _, _, key_region, owner, key_id = (*key_arn.split(":", 5), *[""] * 6)[:6]
    key = kms_backends[owner][key_region].keys.get(key_id.removeprefix("key/")) if owner and key_region else None
    if key is None or key.key_state != "Enabled" or not _allowed(key, region, arn) >= _NEEDED:
        raise ServiceRefusal(
            "InvalidParameterException", f"The specified KMS key does not exist or is not allowed to be used with {arn}"
        )


def _allowed(key: Any, region: str, log_group_arn: str) -> set[str]:
    """Return the actions that a key's policy gives CloudWatch Logs for one log group."""
    context = {"kms:EncryptionContext:aws:logs:arn": log_group_arn}
    return {
        action
        for statement in statements(json.loads(key.policy))
        if statement["Effect"] == "Allow"
        and _service(statement) == f"logs.{region}.amazonaws.com"
        and condition_holds(statement.get("Condition", {}), context)
        for action in statement["Action"]
    }


def _service(statement: Any) -> str | None:
    principal = statement.get("Principal")
    return principal.get("Service") if isinstance(principal, dict) else None
