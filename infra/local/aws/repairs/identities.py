"""An access key decides the account, and a role must exist and trust another account before it is assumed by it."""

from __future__ import annotations

import json
from typing import Any

import moto.iam.models
from moto.sts.models import STSBackend
from werkzeug.exceptions import HTTPException

from infra.local.aws.accounts import Accounts
from infra.local.aws.iam_policy import trusts
from infra.local.aws.refusals import query_error


class AccessDenied(HTTPException):
    """STS's refusal, which its own description of the API does not list."""

    code = 403

    def __init__(self, message: str) -> None:
        super().__init__(query_error("AccessDenied", message, self.code).get_data(as_text=True))

    def get_headers(self, *_: Any) -> list[tuple[str, str]]:
        """Return the type of the body."""
        return [("Content-Type", "text/xml")]


#: The accounts of every emulator in this process.
_known: list[Accounts] = []


def know(accounts: Accounts) -> None:
    """Let moto know further accounts."""
    _known.append(accounts)


def holder_of(access_key: str) -> tuple[str, str] | None:
    """Return account and ARN of who holds an access key; None where nobody does."""
    for accounts in _known:
        account = accounts.of_key(access_key)
        if account is not None:
            return account, accounts.principal_of(access_key) or f"arn:aws:iam::{account}:root"
    return None


def repair() -> None:
    """Teach moto our access keys, and what AssumeRole refuses."""
    moto.iam.models.get_account_id_from = _of_key
    assume = STSBackend.assume_role

    def assume_role(self: Any, *args: Any, **kwargs: Any) -> Any:
        _check(self.account_id, kwargs["role_arn"])
        return assume(self, *args, **kwargs)

    STSBackend.assume_role = assume_role


def _of_key(access_key: str) -> str | None:
    return next((account for accounts in _known if (account := accounts.of_key(access_key))), None)


def _check(caller: str, role_arn: str) -> None:
    """Refuse an unknown role, or one of another account that does not trust the caller's.

    Within one account the trust policy is not asked: whoever plays the EC2 service takes a node's role that way.

    Raises:
        AccessDenied: STS does not tell a missing role from a forbidden one.
    """
    owner = role_arn.split(":")[4] if role_arn.count(":") >= 5 else ""
    exists = any(owner in accounts for accounts in _known)
    roles = moto.iam.models.iam_backends[owner]["aws"].roles.values() if exists else ()
    role = next((role for role in roles if role.arn == role_arn), None)
    if role is None or (owner != caller and not trusts(_document(role), caller, {"aws:PrincipalAccount": caller})):
        raise AccessDenied(
            f"User: arn:aws:iam::{caller}:root is not authorized to perform: sts:AssumeRole on resource: {role_arn}"
        )


def _document(role: Any) -> Any:
    policy = role.assume_role_policy_document
    return json.loads(policy) if isinstance(policy, str) else policy
