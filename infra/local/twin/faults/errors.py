"""Why a fault is not there, or still is."""

from __future__ import annotations

from infra.errors import FederateError


class FaultRefused(FederateError):
    """The fault makes no sense: an unknown kind or node, a wrong parameter, or one that the depth cannot show."""

    exit_code = 2


class NotReverted(FederateError):
    """Faults that were to be cleared are still there."""

    exit_code = 4
