"""The twin's certificate authority: it vouches for the names of AWS's services inside the twin, and for nothing else.

A node trusts it because its environment names it (``AWS_CA_BUNDLE``). Its certificate is constrained to amazonaws.com,
so that whoever gets hold of the key can speak for no other name, not even to a node of the twin.
"""

from __future__ import annotations

import os
import ssl
import tempfile
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from infra.errors import FederateError
from infra.local.twin.services.names import matches

DOMAIN = "amazonaws.com"
_NAME = "Federate twin: emulated AWS endpoints"
_AUTHORITY_LIFE, _LEAF_LIFE = timedelta(days=3650), timedelta(days=365)
#: One that has less left is made anew: the clock of a node may be skewed, and a twin may run for long.
_ENOUGH = timedelta(days=730)
#: A certificate is valid from before it was made, for nodes whose clock is behind.
_BACKDATED = timedelta(days=365)


class UnusableTwinAuthority(FederateError):
    """What is kept of the twin's authority cannot be used."""

    exit_code = 4


class TwinAuthority:
    """An authority whose key lies in a folder; see :meth:`load_or_make`."""

    def __init__(self, folder: Path, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        self._folder = folder
        self._key = key
        self._certificate = certificate
        self._contexts: dict[tuple[str, ...], ssl.SSLContext] = {}
        self._issuing = threading.Lock()

    @classmethod
    def load_or_make(cls, folder: Path, *, now: datetime | None = None) -> TwinAuthority:
        """Read the authority in a folder, or make one there if there is none or it ends soon.

        Args:
            folder: of one twin alone.
            now: the time; the clock's if left out.

        Raises:
            UnusableTwinAuthority: the files there are damaged, or do not belong together.
        """
        now = now or datetime.now(UTC)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if _certificate_file(folder).exists():
            found = cls(folder, *_read(folder))
            if found._certificate.not_valid_after_utc - now > _ENOUGH:
                return found
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _authority_certificate(key, now)
        _write(_key_file(folder), _pem(key), 0o600)
        _write(_certificate_file(folder), certificate.public_bytes(Encoding.PEM), 0o644)
        return cls(folder, key, certificate)

    @property
    def ca_path(self) -> Path:
        """The authority's certificate, PEM, readable by everybody."""
        return _certificate_file(self._folder)

    def context_for(self, names: Sequence[str]) -> ssl.SSLContext:
        """Return a server's context with a certificate for some names; made once, then kept.

        A ClientHello that asks for another name, or for none, is refused with ``unrecognized_name``.

        Raises:
            ValueError: a name is not below amazonaws.com.
        """
        wanted = tuple(names)
        for name in wanted:
            if not name.endswith(f".{DOMAIN}"):
                raise ValueError(f"{name} is not below {DOMAIN}")
        with self._issuing:
            if wanted not in self._contexts:
                self._contexts[wanted] = self._make_context(wanted)
            return self._contexts[wanted]

    def _make_context(self, names: tuple[str, ...]) -> ssl.SSLContext:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._issue(key, names)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        # The library reads key and certificate from a file only; this one is the user's alone and lives for a moment.
        with tempfile.NamedTemporaryFile(dir=self._folder, prefix="leaf-") as file:
            file.write(_pem(key) + certificate.public_bytes(Encoding.PEM))
            file.flush()
            context.load_cert_chain(file.name)

        def choose(_connection: ssl.SSLObject, asked: str | None, _context: ssl.SSLContext) -> int | None:
            known = asked is not None and any(matches(asked.lower(), name) for name in names)
            return None if known else ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME

        context.sni_callback = choose
        return context

    def _issue(self, key: ec.EllipticCurvePrivateKey, names: tuple[str, ...]) -> x509.Certificate:
        now = datetime.now(UTC)
        ends = min(now + _LEAF_LIFE, self._certificate.not_valid_after_utc)
        own = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])]))
            .issuer_name(self._certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(max(now - _BACKDATED, self._certificate.not_valid_before_utc))
            .not_valid_after(ends)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(own, critical=False)
            .sign(self._key, hashes.SHA256())
        )


def _authority_certificate(key: ec.EllipticCurvePrivateKey, now: datetime) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _NAME)])
    constraint = x509.NameConstraints(permitted_subtrees=[x509.DNSName(DOMAIN)], excluded_subtrees=None)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + _AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(constraint, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _usage(**used: bool) -> x509.KeyUsage:
    every = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    return x509.KeyUsage(**{name: used.get(name, False) for name in every})


def _read(folder: Path) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    remedy = f"Delete {folder} and start the twin again; it makes a new authority."
    try:
        key = load_pem_private_key(_key_file(folder).read_bytes(), None)
        certificate = x509.load_pem_x509_certificate(_certificate_file(folder).read_bytes())
    except (OSError, ValueError, TypeError) as error:
        raise UnusableTwinAuthority(
            f"The twin's authority in {folder} cannot be read: {error}", remedy=remedy
        ) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise UnusableTwinAuthority(f"In {folder}, key and certificate do not belong together.", remedy=remedy)
    return key, certificate


def _key_file(folder: Path) -> Path:
    return folder / "authority-key.pem"


def _certificate_file(folder: Path) -> Path:
    return folder / "authority.pem"


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _write(path: Path, content: bytes, mode: int) -> None:
    part = path.with_suffix(".part")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)  # whatever the umask is
        file.write(content)
    part.replace(path)
