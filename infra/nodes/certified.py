"""Nodes' certificates as their accounts show them: which, until when, how it is, and whether its node uses it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from cryptography import x509

from infra.identity import Condition, condition, serial
from node_bootstrap import contract
from node_bootstrap.contract import Held


@dataclass(frozen=True, slots=True)
class Certified:
    """A node's certificate.

    Args:
        serial: hexadecimal.
        issued: when it began.
        expires: when it ends.
        state: how it is.
        in_use: whether the node has taken it.
        trusts: the authorities that the node trusts, by their names.
        problem: why the node has not taken what it was given last.
    """

    serial: str
    issued: datetime
    expires: datetime
    state: Condition
    in_use: bool
    trusts: tuple[str, ...]
    problem: str

    def document(self) -> dict[str, Any]:
        """Return it for ``--json``."""
        times = {"issued": self.issued.isoformat(), "expires": self.expires.isoformat()}
        return {**asdict(self), **times, "state": self.state.value, "trusts": list(self.trusts)}


def certified(told: Mapping[str, str], revoked: Collection[str]) -> Certified | None:
    """Return a node's certificate from its parameters; None where it has none that can be read.

    Args:
        told: the node's parameters.
        revoked: serial numbers of certificates that are good no more, as far as they are known here.
    """
    try:
        found = x509.load_pem_x509_certificate(told[contract.CERTIFICATE].encode())
    except (KeyError, ValueError):
        return None
    held = Held.read(told.get(contract.STATE))
    return Certified(
        serial(found),
        found.not_valid_before_utc,
        found.not_valid_after_utc,
        condition(found, revoked),
        held is not None and held.serial == serial(found),
        held.trusts if held else (),
        held.problem if held else "",
    )
