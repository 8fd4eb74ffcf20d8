"""The two kinds of certificate, the authority's and a node's; and whether one is still good."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from infra.federation.derive import Node
from infra.identity.requests import UNREADABLE, PublicKey, uri

#: A certificate with less than this part of its life left is renewed whenever its node is looked at.
RENEWED_IN_LAST = 1 / 3
_AUTHORITY_LIFE = timedelta(days=3653)
#: How far a node's clock may be behind the coordinator's.
_CLOCK_SKEW = timedelta(minutes=5)
_PURPOSE = {"aggregator": ExtendedKeyUsageOID.SERVER_AUTH, "client": ExtendedKeyUsageOID.CLIENT_AUTH}


def authority_name(federation: str) -> str:
    """Return the common name of a federation's authority."""
    return f"{federation} authority"


def of_authority(key: ec.EllipticCurvePrivateKey, federation: str, now: datetime) -> x509.Certificate:
    """Make the authority's own certificate: ten years, and no further authority below it."""
    name = _name(authority_name(federation))
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return (
        _dated(now - _CLOCK_SKEW, now + _AUTHORITY_LIFE)
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(identifier, critical=False)
        .sign(key, hashes.SHA256())
    )


def of_node(
    requested: PublicKey,
    node: Node,
    authority: x509.Certificate,
    key: ec.EllipticCurvePrivateKey,
    *,
    days: int,
    now: datetime,
) -> x509.Certificate:
    """Make a node's certificate.

    Args:
        requested: the node's public key.
        node: whose names it bears.
        authority: who issues it; the certificate ends no later than this one.
        key: the authority's.
        days: how long it is good for.
        now: when it begins, less the clock skew that is allowed for.
    """
    issuer = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    begins = max(now - _CLOCK_SKEW, authority.not_valid_before_utc)
    ends = min(now + timedelta(days=days), authority.not_valid_after_utc)
    return (
        _dated(begins, ends)
        .subject_name(_name(node.id))
        .issuer_name(authority.subject)
        .public_key(requested)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([_PURPOSE[node.role]]), critical=False)
        .add_extension(_alternative_names(node), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(requested), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer), critical=False)
        .sign(key, hashes.SHA256())
    )


def fits(
    certificate_pem: bytes,
    request_pem: bytes,
    authority_pem: bytes,
    node: Node,
    *,
    renew_within: timedelta,
    revoked: Collection[str],
    now: datetime | None = None,
) -> bool:
    """Return whether a node may keep its certificate; where not, its request is to be signed anew.

    Args:
        certificate_pem: what the node has; anything else, such as nothing, does not fit.
        request_pem: what it asks for now.
        authority_pem: the certificate of the authority that signs now.
        node: whose names the certificate must bear, exactly.
        renew_within: a certificate that ends this soon does not fit. Choose less than the certificate's lifetime.
        revoked: serial numbers of certificates that are good no more.
        now: the time; the clock's if left out.
    """
    now = now or datetime.now(UTC)
    try:
        certificate = x509.load_pem_x509_certificate(certificate_pem)
        request = x509.load_pem_x509_csr(request_pem)
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(authority_pem))
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        is_same_key = key_bytes(certificate) == key_bytes(request)
    except UNREADABLE:
        return False
    is_good = certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc - renew_within
    is_good = is_good and serial(certificate) not in revoked
    return is_same_key and is_good and names == _alternative_names(node)


class Condition(StrEnum):
    """How a certificate is."""

    GOOD = "good"
    SOON = "expires soon"
    EXPIRED = "expired"
    REVOKED = "revoked"


def condition(certificate: x509.Certificate, revoked: Collection[str], now: datetime | None = None) -> Condition:
    """Return how a certificate is; *expires soon* is what the next ``deploy`` or ``start`` renews.

    Args:
        certificate: a node's or an authority's.
        revoked: serial numbers of certificates that are good no more.
        now: the time; the clock's if left out.
    """
    now = now or datetime.now(UTC)
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if serial(certificate) in revoked:
        return Condition.REVOKED
    if now >= ends:
        return Condition.EXPIRED
    return Condition.SOON if ends - now < (ends - begins) * RENEWED_IN_LAST else Condition.GOOD


def serial(certificate: x509.Certificate) -> str:
    """Return a certificate's serial number as it stands in all lists: hexadecimal, lower case, without 0x."""
    return f"{certificate.serial_number:x}"


def key_bytes(holder: x509.Certificate | x509.CertificateSigningRequest | ec.EllipticCurvePrivateKey) -> bytes:
    """Return the public key of a certificate, a request or a private key, in a form that can be compared."""
    return holder.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _dated(begins: datetime, ends: datetime) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().serial_number(x509.random_serial_number())
    return builder.not_valid_before(begins).not_valid_after(ends)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _alternative_names(node: Node) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([x509.DNSName(node.tls_name), x509.UniformResourceIdentifier(uri(node))])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
