"""The accounts that exist on loopback AWS, and which account an access key belongs to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

#: A static access key names its account; 20 characters, as AWS's are.
_STATIC_KEY = re.compile(r"AKIAEMUL(\d{12})")
#: Of any static key; signatures are not checked.
SECRET = "loopback-aws-has-no-secrets"  # noqa: S105 - it is no secret: loopback checks no signature


def static_key(account: str) -> str:
    """Return the access key id of an account's administrator."""
    return f"AKIAEMUL{account}"


def static_account(access_key: str) -> str | None:
    """Return the account whose administrator has this access key; None for any other kind of key."""
    found = _STATIC_KEY.fullmatch(access_key)
    return found[1] if found else None


class Accounts:
    """The known accounts; more can be added while the emulator runs."""

    def __init__(self, accounts: Iterable[str]) -> None:
        self._known = list(dict.fromkeys(accounts))

    def __iter__(self) -> Iterator[str]:
        """Iterate over the account ids in the order in which they were added."""
        return iter(tuple(self._known))

    def __contains__(self, account: object) -> bool:
        return account in self._known

    def add(self, accounts: Iterable[str]) -> None:
        """Let further accounts exist."""
        self._known += [account for account in dict.fromkeys(accounts) if account not in self._known]

    def of_key(self, access_key: str) -> str | None:
        """Return the account of a static or temporary access key; None for a key that was never issued."""
        static = _STATIC_KEY.fullmatch(access_key)
        if static:
            return static[1] if static[1] in self._known else None
        return _issued_to(access_key)

    def principal_of(self, access_key: str) -> str | None:
        """Return the ARN of the role's session or the user that holds a key; None for an account's administrator."""
        account = self.of_key(access_key)
        return None if account is None else _principal(account, access_key)


def _issued_to(access_key: str) -> str | None:
    from moto.iam.models import iam_backends

    for account, partitions in list(iam_backends.items()):
        for backend in list(partitions.values()):
            if access_key in backend.access_keys:
                return str(account)
    return None


def _principal(account: str, access_key: str) -> str | None:
    from moto.iam.models import iam_backends
    from moto.sts.models import sts_backends

    session = sts_backends[account]["aws"].get_assumed_role_from_access_key(access_key)
    holder = session or iam_backends[account]["aws"].get_user_from_access_key_id(access_key)
    return None if holder is None else str(holder.arn)
