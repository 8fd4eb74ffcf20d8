"""Ask loopback AWS which account an access key belongs to."""

from __future__ import annotations

import http.client
import json
import threading
from dataclasses import dataclass
from urllib.parse import quote

_PATH = "/_federate/keys/"
_SECONDS = 10.0
#: More keys than this are not remembered: temporary ones come and go for as long as the twin runs.
_REMEMBERED = 4096


@dataclass(frozen=True, slots=True)
class KeyOwner:
    """Whose an access key is.

    Args:
        account: the account.
        arn: of the role's session or the user; None for an account's administrator.
    """

    account: str
    arn: str | None


def owner_of(upstream: tuple[str, int], access_key: str) -> KeyOwner | None:
    """Return whose an access key is; None for one that was never issued.

    Args:
        upstream: host and port of loopback AWS.
        access_key: the id of the key, not its secret.

    Raises:
        OSError: loopback AWS does not answer.
    """
    connection = http.client.HTTPConnection(*upstream, timeout=_SECONDS)
    try:
        connection.request("GET", _PATH + quote(access_key, safe=""))
        answer = connection.getresponse()
        content = answer.read()
    except http.client.HTTPException as error:
        raise OSError(f"loopback AWS answers oddly: {error!r}") from error
    finally:
        connection.close()
    if answer.status != http.client.OK:
        return None
    told = json.loads(content)
    return KeyOwner(told["account"], told["arn"])


class KeyAccounts:
    """``account_of_key`` for :class:`EndpointService`, remembering what it heard: a key never changes its account.

    Args:
        upstream: host and port of loopback AWS.
    """

    def __init__(self, upstream: tuple[str, int]) -> None:
        self._upstream = upstream
        self._known: dict[str, str] = {}
        self._lock = threading.Lock()

    def __call__(self, access_key: str) -> str | None:
        """Return the account of a key, or None if it was never issued."""
        with self._lock:
            if access_key in self._known:
                return self._known[access_key]
        owner = owner_of(self._upstream, access_key)
        if owner is None:
            return None  # it may be issued yet
        with self._lock:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[access_key] = owner.account
        return owner.account
