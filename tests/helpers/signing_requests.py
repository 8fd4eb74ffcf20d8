"""Signing requests as a node makes them, in whoever's name a test says."""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from infra.federation.derive import Node


def request_of(node: Node, key: ec.EllipticCurvePrivateKey | None = None) -> str:
    """Return a node's request, PEM; of a key of its own where none is given."""
    name = x509.UniformResourceIdentifier(f"federate://{node.federation}/{node.role}/{node.id}")
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, node.id)])
    )
    builder = builder.add_extension(x509.SubjectAlternativeName([name]), critical=False)
    signed = builder.sign(key or ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return signed.public_bytes(Encoding.PEM).decode("ascii")
