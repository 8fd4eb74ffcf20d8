"""Who a node is: a key and a certificate that names federation, role and node; and who the other side is."""

from __future__ import annotations

import datetime
import json
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from fl_app.errors import IdentityError

REVOKED = "revoked.json"
FILES = ("key.pem", "certificate.pem", "authority.pem", REVOKED)
_SCHEME = "federate://"
_REMEDY = "Enrolment puts key.pem, certificate.pem and authority.pem there; see `federate identity`."


@dataclass(frozen=True, slots=True)
class Peer:
    """What a certificate says: ``federate://<federation>/<role>/<node>``, and until when (seconds since 1970)."""

    federation: str
    role: str
    node: str
    expires: float

    @property
    def uri(self) -> str:
        """The name as it stands in the certificate."""
        return f"{_SCHEME}{self.federation}/{self.role}/{self.node}"


@dataclass(frozen=True, slots=True, repr=False)
class Credentials:
    """A node's own key and certificate, and whom it trusts.

    Attributes:
        key: PEM.
        certificate: PEM.
        authority: PEM of one or more authorities; a peer is good if any of them issued its certificate.
        folder: where they came from; may be a symbolic link that is swapped.
        peer: who the certificate says that the node is.
        revoked: serial numbers of certificates that are not good any more.
    """

    key: bytes
    certificate: bytes
    authority: bytes
    folder: Path
    peer: Peer
    revoked: frozenset[int] = frozenset()

    @property
    def authorities(self) -> list[x509.Certificate]:
        """The authorities' certificates."""
        return x509.load_pem_x509_certificates(self.authority)


def objection(certificate: x509.Certificate, own: Credentials) -> str | None:
    """Say why a peer's certificate is not good now, or return None.

    gRPC checks authority and dates in the handshake only: a resumed or a long stream is a matter of this function.
    """
    now = datetime.datetime.now(datetime.UTC)
    if now < certificate.not_valid_before_utc:
        return f"the certificate is not valid before {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
    if now > certificate.not_valid_after_utc:
        return "the certificate has expired"
    if is_revoked(certificate, own):
        return f"the certificate {certificate.serial_number:x} is revoked"
    if not any(_is_issued_by(certificate, authority) for authority in own.authorities):
        return "no authority that is trusted here any more has issued the certificate"
    return None


def is_revoked(certificate: x509.Certificate, own: Credentials) -> bool:
    """Say whether a peer's certificate is among those that were revoked."""
    return certificate.serial_number in own.revoked


def peer_of(certificate_pem: bytes) -> Peer:
    """Read the one name of the federation in a certificate.

    Raises:
        IdentityError: the certificate cannot be read, or names no node, or more than one.
    """
    try:
        certificate = x509.load_pem_x509_certificate(certificate_pem)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound) as error:
        raise IdentityError(f"the certificate cannot be read: {error}") from None
    uris = [uri for uri in names.get_values_for_type(x509.UniformResourceIdentifier) if uri.startswith(_SCHEME)]
    parts = uris[0].removeprefix(_SCHEME).split("/") if len(uris) == 1 else []
    if len(parts) != 3 or not all(parts):
        raise IdentityError(
            f"the certificate names {uris or 'no node'}; one {_SCHEME}<federation>/<role>/<node> is due"
        )
    return Peer(parts[0], parts[1], parts[2], certificate.not_valid_after_utc.timestamp())


def load_credentials(folder: Path, *, federation: str, role: str, node: str) -> Credentials:
    """Read and check a node's own identity before anything is sent.

    Args:
        folder: holds key.pem, certificate.pem and authority.pem.
        federation: what the run files say.
        role: ``aggregator`` or ``client``.
        node: the node's name in the run files.

    Raises:
        IdentityError: a file is missing or unreadable, the key is not the certificate's, the authority did not sign it,
            it is not valid today, or it names somebody else.
    """
    real = folder.resolve()  # once: all files are of one state, though the link is swapped meanwhile
    key_pem, certificate_pem, authority_pem = (
        _read(real / name, folder / name) for name in ("key.pem", "certificate.pem", "authority.pem")
    )
    key = _private_key(key_pem, folder / "key.pem")
    certificate = _certificate(certificate_pem, folder / "certificate.pem")
    authorities = _certificates(authority_pem, folder / "authority.pem")
    if _public_bytes(key.public_key()) != _public_bytes(certificate.public_key()):
        raise IdentityError(f"{folder}: certificate.pem is not the certificate of key.pem.", remedy=_REMEDY)
    if not any(_is_issued_by(certificate, authority) for authority in authorities):
        named = ", ".join(authority.subject.rfc4514_string() for authority in authorities)
        raise IdentityError(
            f"{folder}: authority.pem ({named}) has not signed certificate.pem.",
            remedy="Both come from the coordinator in one enrolment; enrol this node again.",
        )
    now = datetime.datetime.now(datetime.UTC)
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        raise IdentityError(
            f"{folder}/certificate.pem is valid from {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} to "
            f"{certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC; now is {now:%Y-%m-%d %H:%M}.",
            remedy="Renew it with the coordinator, or set this machine's clock.",
        )
    try:
        peer = peer_of(certificate_pem)
    except IdentityError as error:
        raise IdentityError(f"{folder}/certificate.pem: {error}.", remedy=_REMEDY) from None
    if (peer.federation, peer.role, peer.node) != (federation, role, node):
        raise IdentityError(
            f"{folder}/certificate.pem names {peer.uri}; the run files say {_SCHEME}{federation}/{role}/{node}.",
            remedy="Give each node its own files.",
        )
    return Credentials(key_pem, certificate_pem, authority_pem, folder, peer, _revoked(real / REVOKED))


def _read(path: Path, named: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise IdentityError(f"{named} does not exist.", remedy=_REMEDY) from None
    except OSError as error:
        raise IdentityError(f"{named} cannot be read: {error.strerror}.", remedy=_REMEDY) from None


def _revoked(path: Path) -> frozenset[int]:
    """Read the serial numbers that are revoked; no file, none."""
    try:
        found = json.loads(path.read_bytes())
        if not isinstance(found, list) or not all(isinstance(serial, str) for serial in found):
            raise ValueError("a list of texts is expected")
        return frozenset(int(serial, 16) for serial in found)
    except FileNotFoundError:
        return frozenset()
    except (OSError, ValueError) as error:
        raise IdentityError(
            f"{path} is not a list of revoked serial numbers: {error}.",
            remedy="It comes from the coordinator; without knowing what is revoked nobody is admitted.",
        ) from None


def _private_key(pem: bytes, path: Path) -> PrivateKeyTypes:
    try:
        return load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise IdentityError(f"{path} is not an unencrypted PEM private key.", remedy=_REMEDY) from None


def _certificate(pem: bytes, path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError:
        raise IdentityError(f"{path} is not a PEM certificate.", remedy=_REMEDY) from None


def _certificates(pem: bytes, path: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError:
        raise IdentityError(f"{path} is not a PEM certificate.", remedy=_REMEDY) from None


def _is_issued_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _public_bytes(key: object) -> bytes:
    encoded: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined]
    return encoded
