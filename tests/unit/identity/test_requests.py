"""A request is signed only if its key is good, its sender's own, and asked for in the node's own name."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from infra.federation.derive import Node
from infra.identity import Authority, RequestRefused

Ask = Callable[..., bytes]


def _changed(request: bytes) -> bytes:
    """Change the last byte of the signature."""
    body = base64.b64decode(b"".join(request.splitlines()[1:-1]))
    changed = base64.encodebytes(body[:-1] + bytes([body[-1] ^ 1]))
    return b"-----BEGIN CERTIFICATE REQUEST-----\n" + changed + b"-----END CERTIFICATE REQUEST-----\n"


def issued(folder: Path) -> list[str]:
    path = folder / "issued.jsonl"
    return path.read_text("utf-8").splitlines() if path.exists() else []


def test_a_request_whose_signature_is_not_of_its_key_is_refused(
    authority: Authority, site: Node, ask: Ask, folder: Path
) -> None:
    request = ask(site)
    with pytest.raises(RequestRefused, match="hospital-a is not signed with the key that it asks"):
        authority.sign(_changed(request), site, days=90)
    assert issued(folder) == []
    authority.sign(request, site, days=90)
    assert len(issued(folder)) == 1


@pytest.mark.parametrize(
    ("key", "found"),
    [
        (rsa.generate_private_key(65537, 2048), "an RSA key of 2048 bits"),
        (ec.generate_private_key(ec.SECP224R1()), "an EC key on secp224r1"),
        (ec.generate_private_key(ec.SECP521R1()), "an EC key on secp521r1"),
        (ec.generate_private_key(ec.SECP256K1()), "an EC key on secp256k1"),
        (ed25519.Ed25519PrivateKey.generate(), "a key of the type Ed25519PublicKey"),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else "",
)
def test_another_kind_of_key_is_refused(authority: Authority, site: Node, ask: Ask, key: object, found: str) -> None:
    with pytest.raises(RequestRefused, match=f"hospital-a has {found}.*P-256 or P-384, or RSA of 3072"):
        authority.sign(ask(site, key=key), site, days=90)


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP384R1()),
        rsa.generate_private_key(65537, 3072),
    ],
    ids=["P-256", "P-384", "RSA-3072"],
)
def test_these_keys_are_certified(authority: Authority, site: Node, ask: Ask, key: object) -> None:
    assert authority.sign(ask(site, key=key), site, days=90).startswith(b"-----BEGIN CERTIFICATE-----")


def test_a_hospital_s_request_is_not_signed_in_another_s_name(
    authority: Authority, site: Node, neighbour: Node, ask: Ask, folder: Path
) -> None:
    request = ask(neighbour)
    with pytest.raises(
        RequestRefused,
        match=r"of hospital-a is for federate://eicu/client/hospital-b; federate://eicu/client/hospital-a is due",
    ):
        authority.sign(request, site, days=90)
    assert issued(folder) == []
    authority.sign(request, neighbour, days=90)


@pytest.mark.parametrize(
    "uris",
    [
        [],
        ["federate://eicu/aggregator/hospital-a"],
        ["federate://mimic/client/hospital-a"],
        ["federate://eicu/client/hospital-a/"],
        ["FEDERATE://eicu/client/hospital-a"],
        ["federate://eicu/client/hospital-a", "federate://eicu/client/hospital-b"],
        ["federate://eicu/client/hospital-a", "https://example.org"],
        ["federate://eicu/client/hospital-a", "federate://eicu/client/hospital-a"],
    ],
)
def test_a_request_with_other_or_further_uris_is_refused(
    authority: Authority, site: Node, ask: Ask, uris: list[str]
) -> None:
    with pytest.raises(RequestRefused, match="federate://eicu/client/hospital-a is due"):
        authority.sign(ask(site, uris=uris), site, days=90)


@pytest.mark.parametrize("request_pem", [b"", b"nonsense", b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n"])
def test_what_is_no_request_is_refused(authority: Authority, site: Node, request_pem: bytes) -> None:
    with pytest.raises(RequestRefused, match="of hospital-a cannot be read"):
        authority.sign(request_pem, site, days=90)


def test_a_certificate_is_no_request(authority: Authority, site: Node) -> None:
    with pytest.raises(RequestRefused, match="of hospital-a cannot be read"):
        authority.sign(authority.pem, site, days=90)
