"""The certificate authority of one federation."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from infra.federation.derive import Node
from infra.identity.certificates import authority_name, key_bytes, of_authority, of_node
from infra.identity.folder import UnusableAuthority, read_or_make, record_issued, renewal
from infra.identity.requests import RequestRefused, public_key, uri


class Authority:
    """Signs the requests of one federation's nodes; :meth:`open` makes or reads it."""

    def __init__(
        self, folder: Path, federation: str, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate
    ) -> None:
        self._folder = folder
        self._federation = federation
        self._key = key
        self._certificate = certificate

    @classmethod
    def open(cls, folder: Path, federation: str, *, now: datetime | None = None) -> Authority:
        """Read the federation's authority, or make it where there is none.

        Args:
            folder: the authority's alone; holds key.pem, certificate.pem and issued.jsonl.
            federation: the federation's name.
            now: the time; the clock's if left out.

        Raises:
            UnusableAuthority: a file is missing, unreadable or open to others, key and certificate do not fit, the
                authority is of another federation, or it is not valid now.
        """
        now = now or datetime.now(UTC)
        key_pem, certificate_pem = read_or_make(folder, lambda: _new(federation, now))
        key, certificate = _parsed(folder, key_pem, certificate_pem)
        if key_bytes(key) != key_bytes(certificate):
            raise UnusableAuthority(
                f"{folder}: certificate.pem is not the certificate of key.pem.", remedy=renewal(folder)
            )
        names = [str(name.value) for name in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
        if names != [authority_name(federation)]:
            raise UnusableAuthority(
                f"{folder} is of {' '.join(names) or 'nobody'!r}; {authority_name(federation)!r} is due.",
                remedy="Each federation has an authority of its own: give it a folder of its own.",
            )
        authority = cls(folder, federation, key, certificate)
        authority._refuse_unless_valid(now)
        return authority

    @property
    def pem(self) -> bytes:
        """The authority's certificate, which every node trusts."""
        return self._certificate.public_bytes(Encoding.PEM)

    def sign(self, request_pem: bytes, node: Node, *, days: int, now: datetime | None = None) -> bytes:
        """Check a node's request and return its certificate, PEM, once it stands in issued.jsonl.

        Args:
            request_pem: PKCS #10, PEM.
            node: in whose name; the certificate bears its names whatever else the request asks for.
            days: lifetime; the certificate never outlives the authority.
            now: the time; the clock's if left out.

        Raises:
            RequestRefused: the request is not this node's, or is no proper request.
            UnusableAuthority: the authority is not valid now, or the list cannot be written.
        """
        now = now or datetime.now(UTC)
        if node.federation != self._federation:
            raise RequestRefused(
                f"{node.id} is a node of {node.federation}; this authority signs for {self._federation} only.",
                remedy="Open the authority of that federation.",
            )
        self._refuse_unless_valid(now)
        key = public_key(request_pem, node)
        certificate = of_node(key, node, self._certificate, self._key, days=days, now=now)
        record_issued(
            self._folder,
            {
                "serial": f"{certificate.serial_number:x}",
                "node": node.id,
                "uri": uri(node),
                "not_after": certificate.not_valid_after_utc.isoformat(),
                "sha256": certificate.fingerprint(hashes.SHA256()).hex(),
            },
        )
        return certificate.public_bytes(Encoding.PEM)

    def _refuse_unless_valid(self, now: datetime) -> None:
        begins, ends = self._certificate.not_valid_before_utc, self._certificate.not_valid_after_utc
        if not begins <= now < ends:
            raise UnusableAuthority(
                f"The authority in {self._folder} is valid from {begins:%Y-%m-%d %H:%M} to {ends:%Y-%m-%d %H:%M} UTC; "
                f"now is {now:%Y-%m-%d %H:%M}.",
                remedy="Set this machine's clock; or move the folder away, so that a new authority is made and every "
                "node enrols anew.",
            )


def _new(federation: str, now: datetime) -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    key_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return key_pem, of_authority(key, federation, now).public_bytes(Encoding.PEM)


def _parsed(
    folder: Path, key_pem: bytes, certificate_pem: bytes
) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    try:
        key = load_pem_private_key(key_pem, password=None)
        certificate = x509.load_pem_x509_certificate(certificate_pem)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise UnusableAuthority(
            f"{folder}: key.pem is not a private key in PEM, or certificate.pem is not a certificate in PEM.",
            remedy=renewal(folder),
        ) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise UnusableAuthority(f"{folder}: key.pem is not an ECDSA key.", remedy=renewal(folder))
    return key, certificate
