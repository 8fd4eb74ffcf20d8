"""Whether a signing request may be signed for a node: who asks, with which key, and whether the key is theirs."""

from __future__ import annotations

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from infra.errors import FederateError
from infra.federation.derive import Node

PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey

_CURVES = ("secp256r1", "secp384r1")
_RSA_BITS = 3072
_KEYS = f"A node's key is EC on P-256 or P-384, or RSA of {_RSA_BITS} bits and more."

#: What the library raises for a request that is not one, or one with a key or an extension that it does not know.
UNREADABLE = (
    ValueError,
    TypeError,
    InvalidSignature,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.ExtensionNotFound,
    x509.UnsupportedGeneralNameType,
)


class RequestRefused(FederateError):
    """A signing request is damaged, is not this node's, or has a key that is too weak or not the sender's."""

    exit_code = 3


def uri(node: Node) -> str:
    """Return the name of a node in its certificate: ``federate://eicu/client/hospital-a``."""
    return f"federate://{node.federation}/{node.role}/{node.id}"


def public_key(request_pem: bytes, node: Node) -> PublicKey:
    """Check a request and return the key that is to be certified.

    Only the key is taken from a request; every name in the certificate comes from the federation.

    Args:
        request_pem: PKCS #10, PEM.
        node: in whose name it is to be signed.

    Raises:
        RequestRefused: it cannot be read, its key is of another kind or too short, its signature is not of that key,
            or its one URI is not the node's.
    """
    try:
        request = x509.load_pem_x509_csr(request_pem)
        key = _strong(request.public_key(), node)
        is_own_key = request.is_signature_valid
        names = _uris(request)
    except UNREADABLE as error:
        raise RequestRefused(
            f"The signing request of {node.id} cannot be read: {str(error) or type(error).__name__}.",
            remedy=f"A PEM request (PKCS #10) is due. {_again(node)}",
        ) from None
    if not is_own_key:
        raise RequestRefused(
            f"The signing request of {node.id} is not signed with the key that it asks a certificate for.",
            remedy=f"It was changed on its way, or its sender does not have the key. {_again(node)}",
        )
    if names != [uri(node)]:
        raise RequestRefused(
            f"The signing request of {node.id} is for {' and '.join(names) or 'no node'}; {uri(node)} is due.",
            remedy=f"A node's request is signed in its own name only. {_again(node)}",
        )
    return key


def _strong(key: object, node: Node) -> PublicKey:
    if isinstance(key, ec.EllipticCurvePublicKey):
        kind = f"an EC key on {key.curve.name}"
        if key.curve.name in _CURVES:
            return key
    elif isinstance(key, rsa.RSAPublicKey):
        kind = f"an RSA key of {key.key_size} bits"
        if key.key_size >= _RSA_BITS:
            return key
    else:
        kind = f"a key of the type {type(key).__name__}"
    raise RequestRefused(
        f"The signing request of {node.id} has {kind}. {_KEYS}", remedy=f"Make a new key there. {_again(node)}"
    )


def _uris(request: x509.CertificateSigningRequest) -> list[str]:
    try:
        names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return names.get_values_for_type(x509.UniformResourceIdentifier)


def _again(node: Node) -> str:
    return f"Take the request that {node.id} itself publishes under {node.parameter_prefix} in account {node.account}."
