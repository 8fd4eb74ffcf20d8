"""Enrolment: a node asks with a signing request, the coordinator's authority answers with a certificate."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from infra.accounts import explained
from infra.errors import FederateError
from infra.federation.model import Federation
from infra.identity import RENEWED_IN_LAST, Authority, fits
from infra.identity.certificates import key_bytes
from infra.nodes.remote import Remote
from node_bootstrap import contract
from node_bootstrap.contract import Unreadable, authority_name


class OtherAuthority(FederateError):
    """A node is enrolled with another authority than the one that is here."""

    exit_code = 3


class WrongCertificate(FederateError):
    """What is to be installed is not a node's certificate with its authorities."""

    exit_code = 2


def enrol(remote: Remote, federation: Federation, authority: Authority) -> bool:
    """Answer a node's signing request if it has one that is not answered yet, or its certificate is no longer good.

    What the node is to trust, and at the hub what is revoked, is brought up to date as well.

    Args:
        remote: the node.
        federation: says how long certificates live.
        authority: the coordinator's.

    Returns:
        Whether the node has a certificate now.

    Raises:
        RequestRefused: what the node asks for is not its own name, or no proper request.
        NodeRevoked: the node, or its key, was revoked.
        OtherAuthority: the node trusts another authority.
    """
    told = remote.parameters()
    refuse_other_authority(remote, told, authority)
    if remote.node.role == "aggregator":
        tell_revoked(remote, told, authority)
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
        renew_within=timedelta(days=days * RENEWED_IN_LAST),
        revoked=authority.revoked.serials,
        now=datetime.now(UTC),
    )
    signed = None if is_good else authority.sign(request.encode(), remote.node, days=days)
    # The authorities first: the node installs both as soon as it sees both.
    if told.get(contract.AUTHORITY, "").encode() != authority.bundle:
        remote.put(contract.AUTHORITY, authority.bundle.decode("ascii"))
    if signed is not None:
        remote.put(contract.CERTIFICATE, signed.decode("ascii"))
    return True


def tell_revoked(hub: Remote, told: Mapping[str, str], authority: Authority) -> frozenset[str]:
    """Tell the hub's node which certificates to refuse, in the hub's own account; return their serial numbers."""
    try:
        before = contract.read_revoked(told)
    except Unreadable:
        before = None
    refused = authority.refused_serials(frozenset(before or ()))
    if before is None and not refused:
        return refused
    wanted = contract.revoked_parameters(refused)
    emptied = {name: "[]" for name in told if name.startswith(f"{contract.REVOKED}-")}
    for name, text in {**emptied, **wanted}.items():
        if told.get(name) != text:
            hub.put(name, text)
    return refused


def refuse_other_authority(remote: Remote, told: Mapping[str, str], authority: Authority) -> None:
    """Make sure that a node that trusts an authority already is not given another one unasked.

    Raises:
        OtherAuthority: it trusts others only.
    """
    found = names_of(told.get(contract.AUTHORITY, ""))
    if found and not set(found) & set(names_of(authority.bundle.decode("ascii"))):
        raise OtherAuthority(
            f"{remote.where}: trusts the authority {' '.join(found)}; the one in {authority.folder} is another.",
            remedy="Is the federation's authority on another machine, or was it stored (federate identity fetch)? If "
            "it is lost for good: federate identity start-over.",
        )


def start_over(remote: Remote) -> None:
    """Let a node forget its certificate and what it trusts: the authority that is there enrols it as if it were new."""
    names = [f"{remote.node.parameter_prefix}/{name}" for name in (contract.CERTIFICATE, contract.AUTHORITY)]
    with explained(remote.where):
        remote.client("ssm").delete_parameters(Names=names)


def install(remote: Remote, text: str) -> None:
    """Give a node what the coordinator printed for it: its certificate, then all authorities that it is to trust.

    Raises:
        WrongCertificate: it is not that, or the certificate is of another key than the one that the node asks for.
    """
    again = "Give the file that federate identity sign printed, whole."
    try:
        first, *authorities = x509.load_pem_x509_certificates(text.encode())
        is_signed = any(_has_issued(one, first) for one in authorities)
    except ValueError as error:
        raise WrongCertificate(f"That is no file of certificates in PEM: {error}.", remedy=again) from None
    if not authorities:
        raise WrongCertificate(
            "That holds one certificate; the node's and at least one authority's are due.", remedy=again
        )
    if not is_signed:
        raise WrongCertificate("The first certificate is of none of the authorities that follow it.", remedy=again)
    request = remote.parameters().get(contract.REQUEST)
    if request is not None and not _is_key_of(request, first):
        raise WrongCertificate(
            f"The certificate is not of the key that {remote.node.id} asks for.",
            remedy=f"The coordinator signs the request of today: federate identity request {remote.node.id}.",
        )
    remote.put(contract.AUTHORITY, "".join(map(_pem, authorities)))
    remote.put(contract.CERTIFICATE, _pem(first))


def names_of(bundle: str) -> tuple[str, ...]:
    """Return the names of authorities as nodes tell them; none where there are none that can be read."""
    try:
        found = x509.load_pem_x509_certificates(bundle.encode())
    except ValueError:
        return ()
    return tuple(authority_name(one.public_bytes(Encoding.DER)) for one in found)


def _is_key_of(request: str, certificate: x509.Certificate) -> bool:
    try:
        return key_bytes(x509.load_pem_x509_csr(request.encode())) == key_bytes(certificate)
    except ValueError:
        return False


def _has_issued(authority: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except Exception:  # whatever it is, it is no signature of this authority
        return False
    return True


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode("ascii")
