"""The keys of EC2 Instance Connect: an instance's metadata service shows each for a minute, and then no longer.

Source: SendSSHPublicKey in the EC2 Instance Connect API Reference.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_ssh_public_key

LIFETIME_SECONDS = 60.0
_SMALLEST_RSA_BITS = 2048


class NoKey(ValueError):
    """The text is not a public key that EC2 Instance Connect takes."""


class SshKeys:
    """Keys by instance and user of its operating system.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until: dict[tuple[str, str], dict[str, float]] = {}
        self._lock = threading.Lock()

    def put(self, instance: str, user: str, key: str) -> None:
        """Show a key for a minute from now.

        Args:
            instance: id of the instance.
            user: of its operating system.
            key: one line in OpenSSH's form; Ed25519, or RSA of 2048 bits or more.

        Raises:
            NoKey: it is none.
        """
        line = checked(key)
        with self._lock:
            self._until.setdefault((instance, user), {})[line] = self._clock() + LIFETIME_SECONDS

    def of(self, instance: str, user: str) -> list[str]:
        """Return the keys that are shown now, the oldest first."""
        now = self._clock()
        with self._lock:
            for place, keys in list(self._until.items()):
                left = {key: until for key, until in keys.items() if until > now}
                if left:
                    self._until[place] = left
                else:
                    del self._until[place]
            return list(self._until.get((instance, user), {}))


def checked(key: str) -> str:
    """Return a public key as one line.

    Raises:
        NoKey: it is none, or of a type that EC2 Instance Connect does not take.
    """
    line = key.strip()
    if "\n" in line or "\r" in line:
        raise NoKey("it has more than one line")
    try:
        found = load_ssh_public_key(line.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise NoKey(str(error)) from None
    is_rsa = isinstance(found, rsa.RSAPublicKey) and found.key_size >= _SMALLEST_RSA_BITS
    if not (is_rsa or isinstance(found, ed25519.Ed25519PublicKey)):
        raise NoKey("it is neither Ed25519 nor RSA of 2048 bits or more")
    return line
