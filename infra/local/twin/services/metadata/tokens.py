"""Session tokens of the metadata service: signed, not stored, so that asking for many costs nothing."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import struct
from collections.abc import Callable

_FORM = struct.Struct(">Q16s")
_MAC_BYTES = 32


class Tokens:
    """Gives tokens that are good for one instance and for some time.

    Args:
        clock: seconds since the epoch.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._key = secrets.token_bytes(32)

    def give(self, instance: str, seconds: int) -> str:
        """Return a token for an instance."""
        expires_ms = int((self._clock() + seconds) * 1000)
        said = _FORM.pack(expires_ms, secrets.token_bytes(16))
        return base64.urlsafe_b64encode(said + self._mac(instance, said)).decode()

    def is_good(self, instance: str, token: str) -> bool:
        """Say whether a token was given to this instance and has not expired."""
        try:
            raw = base64.b64decode(token, altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return False
        said, mac = raw[: _FORM.size], raw[_FORM.size :]
        if len(mac) != _MAC_BYTES or not hmac.compare_digest(mac, self._mac(instance, said)):
            return False
        return self._clock() * 1000 < int(_FORM.unpack(said)[0])

    def _mac(self, instance: str, said: bytes) -> bytes:
        return hmac.digest(self._key, said + instance.encode(), hashlib.sha256)
