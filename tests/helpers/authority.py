"""A federation's certificate authority for tests: real certificates, made in milliseconds, as wrong as a test needs."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = datetime.timedelta(days=1)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


class Authority:
    """Signs for one federation."""

    def __init__(self, federation: str = "test") -> None:
        self.federation = federation
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{federation} authority")])
        # as the real one: of two authorities with one name, TLS finds the issuer by this
        self._identifier = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        builder = x509.CertificateBuilder().subject_name(self._name).issuer_name(self._name)
        self._certificate = (
            builder.public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(_now() - DAY)
            .not_valid_after(_now() + DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(self._identifier, critical=False)
            .sign(self._key, hashes.SHA256())
        )

    @property
    def pem(self) -> bytes:
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    def issue(
        self,
        folder: Path,
        node: str,
        *,
        role: str = "client",
        federation: str | None = None,
        since: datetime.timedelta = -DAY,
        until: datetime.timedelta = DAY,
        dns: str | None = None,
        address: str | None = None,
    ) -> Path:
        """Write key.pem, certificate.pem and authority.pem for a node and return the folder."""
        name = federation or self.federation
        key = ec.generate_private_key(ec.SECP256R1())
        alternative: list[x509.GeneralName] = [
            x509.DNSName(dns or f"{node}.{name}.federate"),
            x509.UniformResourceIdentifier(f"federate://{name}/{role}/{node}"),
        ]
        if address:
            alternative.append(x509.IPAddress(ipaddress.ip_address(address)))
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, node)]))
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(_now() + since)
            .not_valid_after(_now() + until)
            .add_extension(x509.SubjectAlternativeName(alternative), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(self._identifier), critical=False
            )
            .sign(self._key, hashes.SHA256())
        )
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "key.pem").write_bytes(_key_pem(key))
        (folder / "key.pem").chmod(0o600)
        (folder / "certificate.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        (folder / "authority.pem").write_bytes(self.pem)
        return folder
