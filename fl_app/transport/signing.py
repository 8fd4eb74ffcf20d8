"""Signatures with a node's own key, which its certificate verifies: whoever has the certificate can check them."""

from __future__ import annotations

import base64

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from fl_app.errors import IdentityError
from fl_app.transport.identity import Credentials


def sign(credentials: Credentials, message: bytes) -> str:
    """Return the signature in base64: ECDSA or RSA PKCS #1 v1.5 with SHA-256, or Ed25519, as the key is.

    Raises:
        IdentityError: the key is of a kind that does not sign.
    """
    key = load_pem_private_key(credentials.key, password=None)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        made = key.sign(message, ec.ECDSA(hashes.SHA256()))
    elif isinstance(key, rsa.RSAPrivateKey):
        made = key.sign(message, padding.PKCS1v15(), hashes.SHA256())
    elif isinstance(key, ed25519.Ed25519PrivateKey):
        made = key.sign(message)
    else:
        raise IdentityError(f"{credentials.folder / 'key.pem'} is of a kind that does not sign.")
    return base64.b64encode(made).decode("ascii")


def certificate_text(credentials: Credentials) -> str:
    """Return the certificate as PEM."""
    return credentials.certificate.decode("ascii")
