"""Enrolment: a node asks with a signing request, the coordinator's authority answers with a certificate."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from infra.federation.model import Federation
from infra.identity import Authority, fits
from infra.nodes.remote import Remote
from node_bootstrap import contract

#: A certificate with less than this part of its life left is renewed whenever its node is looked at.
_RENEWED_IN_LAST = 1 / 3


def enrol(remote: Remote, federation: Federation, authority: Authority) -> bool:
    """Answer a node's signing request if it has one that is not answered yet, or its certificate is old.

    Args:
        remote: the node.
        federation: says how long certificates live.
        authority: the coordinator's.

    Returns:
        Whether the node has a certificate now.

    Raises:
        RequestRefused: what the node asks for is not its own name, or no proper request.
    """
    told = remote.parameters()
    request = told.get(contract.REQUEST)
    if request is None:
        return False
    days = federation.security.certificate_days
    certificate = told.get(contract.CERTIFICATE)
    is_good = certificate is not None and fits(
        certificate.encode(),
        request.encode(),
        authority.pem,
        remote.node,
        renew_within=timedelta(days=days * _RENEWED_IN_LAST),
        now=datetime.now(UTC),
    )
    if not is_good or told.get(contract.AUTHORITY, "").encode() != authority.pem:
        signed = authority.sign(request.encode(), remote.node, days=days)
        # The authority first: the node installs both as soon as it sees both.
        remote.put(contract.AUTHORITY, authority.pem.decode("ascii"))
        remote.put(contract.CERTIFICATE, signed.decode("ascii"))
    return True
