"""The node's key, made where it is used and never anywhere else, and the certificate that the coordinator signs."""

from __future__ import annotations

import os
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from node_bootstrap.agent.facts import Facts

_KEY, _REQUEST, _CERTIFICATE, _AUTHORITY = "key.pem", "request.pem", "certificate.pem", "authority.pem"

#: What the library raises for a certificate that is none, or one with a key or an extension that it does not know.
_UNREADABLE = (
    ValueError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.ExtensionNotFound,
    x509.UnsupportedGeneralNameType,
)


class IdentityError(Exception):
    """The key on the state volume, or what was given as its certificate, cannot be used."""


class Identity:
    """The folder ``tls`` of the state volume; the application reads it.

    Args:
        folder: where key, request, certificate and the authority's certificate lie.
        facts: who the node is.
    """

    def __init__(self, folder: Path, facts: Facts) -> None:
        self._folder = folder
        self._facts = facts

    def request(self) -> str:
        """Return the signing request as PEM; key and request are made if there is none yet.

        Raises:
            IdentityError: the key is there and cannot be read.
        """
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self._folder / _REQUEST
        if path.exists() and (self._folder / _KEY).exists():
            return path.read_text("ascii")
        pem = self._new_request(self._key())
        _put(path, pem)
        return pem.decode("ascii")

    def install(self, certificate: str, authority: str) -> None:
        """Keep a certificate of this node's key; does nothing if it is the one that is kept already.

        Raises:
            IdentityError: it is of another key, or of another node.
        """
        path = self._folder / _CERTIFICATE
        if path.exists() and path.read_bytes() == certificate.encode() and (self._folder / _AUTHORITY).exists():
            return
        try:
            found = x509.load_pem_x509_certificate(certificate.encode())
            x509.load_pem_x509_certificate(authority.encode())
            names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            certified = _public(found.public_key())
        except _UNREADABLE as error:
            raise IdentityError(f"what was given as certificate cannot be read: {error}") from None
        if certified != _public(self._key().public_key()):
            raise IdentityError("the certificate is of another key than this node's; its request is published anew")
        if self._facts.uri not in names.get_values_for_type(x509.UniformResourceIdentifier):
            raise IdentityError(f"the certificate does not name {self._facts.uri}")
        # The certificate last: it is what says that all is there.
        _put(self._folder / _AUTHORITY, authority.encode())
        _put(path, certificate.encode())

    def _key(self) -> ec.EllipticCurvePrivateKey:
        path = self._folder / _KEY
        if not path.exists():
            (self._folder / _CERTIFICATE).unlink(missing_ok=True)  # a certificate of a lost key is none
            key = ec.generate_private_key(ec.SECP256R1())
            _put(
                path,
                key.private_bytes(
                    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
                ),
            )
            return key
        try:
            found = serialization.load_pem_private_key(path.read_bytes(), password=None)
        except (OSError, ValueError, TypeError) as error:
            raise IdentityError(f"{path} cannot be used: {error}") from None
        if not isinstance(found, ec.EllipticCurvePrivateKey):
            raise IdentityError(f"{path} is not the key of an elliptic curve, as this agent makes them")
        return found

    def _new_request(self, key: ec.EllipticCurvePrivateKey) -> bytes:
        names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(self._facts.uri)])
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self._facts.node)])
        builder = x509.CertificateSigningRequestBuilder().subject_name(subject).add_extension(names, critical=False)
        return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _public(key: object) -> bytes:
    encoded: bytes = key.public_bytes(  # type: ignore[attr-defined]  # every kind of public key has it
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return encoded


def _put(path: Path, content: bytes) -> None:
    """Write a file that only the agent's user can read, in one durable step."""
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
