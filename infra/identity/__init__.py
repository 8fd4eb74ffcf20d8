"""The federation's certificate authority, on the coordinator's side: it signs what a node asks for, and nothing else.

A node's key is made on the node and never comes here; what comes here is a signing request, which is public.
"""

from infra.identity.authority import Authority, Phase, key_name
from infra.identity.certificates import RENEWED_IN_LAST, Condition, condition, fits, serial
from infra.identity.folder import UnusableAuthority
from infra.identity.requests import RequestRefused
from infra.identity.revocation import NodeRevoked, NothingToRevoke

__all__ = [
    "RENEWED_IN_LAST",
    "Authority",
    "Condition",
    "NodeRevoked",
    "NothingToRevoke",
    "Phase",
    "RequestRefused",
    "UnusableAuthority",
    "condition",
    "fits",
    "key_name",
    "serial",
]
