"""A node's key is made where it is used, and a certificate counts only if it is of that key and that node."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from fake_node import facts

from fl_app.transport.identity import load_credentials
from infra.federation.derive import Node
from infra.identity import Authority
from node_bootstrap.agent.identity import Identity, IdentityError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "tls"


@pytest.fixture
def identity(folder: Path) -> Identity:
    return Identity(folder, facts())


@pytest.fixture
def pem(authority: Authority) -> str:
    return authority.pem.decode()


def certificate_for(identity: Identity, node: Node, authority: Authority) -> str:
    return authority.sign(identity.request().encode(), node, days=90).decode()


def modes(folder: Path) -> dict[str, str]:
    return {path.name: f"{path.stat().st_mode & 0o777:04o}" for path in folder.iterdir()}


def test_the_request_is_what_the_authority_signs_and_stays_the_same(
    identity: Identity, folder: Path, all_nodes: dict[str, Node], authority: Authority
) -> None:
    request = identity.request()
    assert identity.request() == Identity(folder, facts()).request() == request
    assert x509.load_pem_x509_csr(request.encode()).is_signature_valid
    assert authority.sign(request.encode(), all_nodes["hospital-a"], days=1)
    assert "PRIVATE" not in request


def test_only_the_agents_user_can_read_what_it_keeps(
    identity: Identity, folder: Path, all_nodes: dict[str, Node], authority: Authority, pem: str
) -> None:
    identity.install(certificate_for(identity, all_nodes["hospital-a"], authority), pem)
    names = ("key.pem", "request.pem", "certificate.pem", "authority.pem", "rotation")
    assert modes(folder) == dict.fromkeys(names, "0600")
    identity.request("next")
    sets = folder.with_name("tls.sets")
    assert modes(sets / "pending") == dict.fromkeys(("key.pem", "request.pem", "rotation"), "0600")
    for place in (folder, sets, sets / "pending"):
        assert place.stat().st_mode & 0o777 == 0o700


def test_a_certificate_is_kept_beside_its_authoritys_and_a_newer_one_takes_its_place(
    identity: Identity, folder: Path, all_nodes: dict[str, Node], authority: Authority, pem: str
) -> None:
    for _ in range(2):
        certificate = certificate_for(identity, all_nodes["hospital-a"], authority)
        identity.install(certificate, pem)
        assert (folder / "certificate.pem").read_text() == certificate
        assert (folder / "authority.pem").read_text() == pem


def test_the_same_certificate_again_changes_no_file(
    identity: Identity, folder: Path, all_nodes: dict[str, Node], authority: Authority, pem: str
) -> None:
    certificate = certificate_for(identity, all_nodes["hospital-a"], authority)
    identity.install(certificate, pem)
    before = {path.name: path.stat().st_ino for path in folder.iterdir()}
    identity.install(certificate, pem)
    assert {path.name: path.stat().st_ino for path in folder.iterdir()} == before


def test_a_certificate_of_another_key_is_refused_and_the_one_before_stays(
    identity: Identity, folder: Path, tmp_path: Path, all_nodes: dict[str, Node], authority: Authority, pem: str
) -> None:
    good = certificate_for(identity, all_nodes["hospital-a"], authority)
    identity.install(good, pem)
    stranger = Identity(tmp_path / "stranger", facts())
    with pytest.raises(IdentityError, match="of another key"):
        identity.install(certificate_for(stranger, all_nodes["hospital-a"], authority), pem)
    assert (folder / "certificate.pem").read_text() == good


@pytest.mark.parametrize("change", [{"id": "hospital-b"}, {"role": "aggregator"}])
def test_a_certificate_of_another_node_is_refused(
    folder: Path, all_nodes: dict[str, Node], authority: Authority, pem: str, change: dict[str, str]
) -> None:
    other = dataclasses.replace(all_nodes["hospital-a"], **change)  # type: ignore[arg-type]
    elsewhere = Identity(folder, facts(node=other.id, role=other.role))
    certificate = certificate_for(elsewhere, other, authority)
    with pytest.raises(IdentityError, match="does not name federate://fed/client/hospital-a"):
        Identity(folder, facts()).install(certificate, pem)
    assert not (folder / "certificate.pem").exists()


@pytest.mark.parametrize(
    "wrong", ["", "nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "ä"]
)
def test_what_is_no_certificate_is_refused(
    identity: Identity, folder: Path, all_nodes: dict[str, Node], authority: Authority, pem: str, wrong: str
) -> None:
    with pytest.raises(IdentityError, match="cannot be read"):
        identity.install(wrong, pem)
    with pytest.raises(IdentityError, match="cannot be read"):
        identity.install(certificate_for(identity, all_nodes["hospital-a"], authority), wrong)
    assert not (folder / "certificate.pem").exists()


def test_a_key_that_is_lost_before_it_was_certified_is_made_anew(identity: Identity, folder: Path) -> None:
    first = identity.request()
    (folder.with_name("tls.sets") / "pending" / "key.pem").unlink()
    assert key_of(identity.request()) != key_of(first)


def test_with_the_key_its_certificate_is_lost_as_well(
    identity: Identity, folder: Path, all_nodes: dict[str, Node], authority: Authority, pem: str
) -> None:
    certificate = certificate_for(identity, all_nodes["hospital-a"], authority)
    identity.install(certificate, pem)
    before = identity.request()
    (folder / "key.pem").unlink()
    assert key_of(identity.request()) != key_of(before)
    with pytest.raises(IdentityError, match="of another key"):
        identity.install(certificate, pem)


@pytest.mark.parametrize("content", [b"", b"nonsense"])
def test_a_damaged_key_is_never_replaced_in_silence_but_by_a_rotation(
    identity: Identity, folder: Path, all_nodes: dict[str, Node], authority: Authority, pem: str, content: bytes
) -> None:
    identity.install(certificate_for(identity, all_nodes["hospital-a"], authority), pem)
    (folder / "key.pem").write_bytes(content)
    with pytest.raises(IdentityError, match=r"key\.pem cannot be used.*federate identity rotate"):
        identity.request()
    assert (folder / "key.pem").read_bytes() == content
    renewed = authority.sign(identity.request("repair").encode(), all_nodes["hospital-a"], days=90).decode()
    identity.install(renewed, pem)
    assert_in_use(folder, renewed)


def test_a_damaged_key_that_has_no_certificate_yet_is_told_as_well(identity: Identity, folder: Path) -> None:
    identity.request()
    (folder.with_name("tls.sets") / "pending" / "key.pem").write_bytes(b"nonsense")
    with pytest.raises(IdentityError, match=r"key\.pem cannot be used"):
        identity.request()


def test_a_key_of_another_kind_is_not_ours(identity: Identity, folder: Path) -> None:
    identity.request()
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    encoding = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder.with_name("tls.sets") / "pending" / "key.pem").write_bytes(key.private_bytes(*encoding))
    with pytest.raises(IdentityError, match="not the key of an elliptic curve"):
        identity.request()


def assert_in_use(folder: Path, certificate: str) -> None:
    """Make sure that the application finds this certificate with its key."""
    assert (folder / "certificate.pem").read_text() == certificate
    load_credentials(folder, federation="fed", role="client", node="hospital-a")


def key_of(request: str) -> bytes:
    public = x509.load_pem_x509_csr(request.encode()).public_key()
    return public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
