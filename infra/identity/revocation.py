"""What was revoked: certificates and keys for good, nodes until they are admitted again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from infra.errors import FederateError
from infra.identity.folder import ISSUED, REVOKED, UnusableAuthority, entries

_REVOKE, _ADMIT = "revoke", "admit"


class NodeRevoked(FederateError):
    """A node, or the key that it asks a certificate for, was revoked."""

    exit_code = 3


class NothingToRevoke(FederateError):
    """There is no certificate of that node or number, or revoking it would have no effect."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Issued:
    """One line of the list of issued certificates. ``key`` and ``issuer`` are SHA-256 of public key and authority."""

    serial: str
    node: str
    not_after: datetime
    key: str
    issuer: str

    @classmethod
    def read(cls, folder: Path) -> list[Issued]:
        """Read the list.

        Raises:
            UnusableAuthority: a line is not one of ours.
        """
        try:
            return [
                cls(
                    str(entry["serial"]),
                    str(entry["node"]),
                    datetime.fromisoformat(entry["not_after"]),
                    str(entry.get("key", "")),
                    str(entry.get("issuer", "")),
                )
                for entry in entries(folder, ISSUED)
            ]
        except (KeyError, TypeError, ValueError):
            raise _damaged(folder / ISSUED) from None


@dataclass(frozen=True, slots=True)
class Revoked:
    """What was revoked until now.

    Args:
        serials: of certificates.
        keys: SHA-256 of public keys; no further certificate is made for one.
        barred: nodes that get no certificate at all until they are admitted, with the reason.
    """

    serials: frozenset[str]
    keys: frozenset[str]
    barred: dict[str, str]

    @classmethod
    def read(cls, folder: Path) -> Revoked:
        """Read the list.

        Raises:
            UnusableAuthority: a line is not one of ours.
        """
        serials: set[str] = set()
        keys: set[str] = set()
        barred: dict[str, str] = {}
        try:
            for entry in entries(folder, REVOKED):
                if entry["action"] == _ADMIT:
                    barred.pop(str(entry["node"]), None)
                    continue
                serials.update(map(str, entry["serials"]))
                keys.update(map(str, entry["keys"]))
                if entry["bars"]:
                    barred[str(entry["node"])] = str(entry["reason"])
        except (KeyError, TypeError):
            raise _damaged(folder / REVOKED) from None
        return cls(frozenset(serials), frozenset(keys), barred)


def revocation(node: str, certificates: Iterable[Issued], *, bars: bool, reason: str, now: datetime) -> dict[str, Any]:
    """Return the line that revokes these certificates of a node, their keys, and the node itself if it ``bars``."""
    these = list(certificates)
    return {
        "action": _REVOKE,
        "node": node,
        "serials": [one.serial for one in these],
        "keys": sorted({one.key for one in these if one.key}),
        "bars": bars,
        "reason": reason,
        "at": now.isoformat(timespec="seconds"),
    }


def admission(node: str, now: datetime) -> dict[str, Any]:
    """Return the line that lets a revoked node ask for a certificate again."""
    return {"action": _ADMIT, "node": node, "at": now.isoformat(timespec="seconds")}


def _damaged(path: Path) -> UnusableAuthority:
    return UnusableAuthority(
        f"{path} has a line that is none of this toolkit's.", remedy="Repair that line, or restore the file."
    )
