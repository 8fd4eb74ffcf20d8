"""What an authority signs is listed first, bears the node's names only, and is what the application asks for."""

from __future__ import annotations

import dataclasses
import json
import os
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID
from handshake import shake_hands

from fl_app.errors import IdentityError
from fl_app.transport.identity import load_credentials
from infra.federation.derive import Node
from infra.identity import Authority, RequestRefused, UnusableAuthority
from infra.identity import folder as folder_module

Ask = Callable[..., bytes]

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)


def test_a_certificate_bears_the_node_s_names_and_nothing_that_the_request_says(
    authority: Authority, site: Node, ask: Ask
) -> None:
    certificate = x509.load_pem_x509_certificate(
        authority.sign(ask(site, dns=["aggregator.eicu.federate"]), site, days=90)
    )
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert certificate.subject.rfc4514_string() == "CN=hospital-a"
    assert list(names) == [
        x509.DNSName("hospital-a.eicu.federate"),
        x509.UniformResourceIdentifier("federate://eicu/client/hospital-a"),
    ]


def test_a_certificate_is_for_one_purpose_and_signs_no_other(
    authority: Authority, hub: Node, site: Node, ask: Ask
) -> None:
    issuer = x509.load_pem_x509_certificate(authority.pem)
    for node, purpose in ((hub, ExtendedKeyUsageOID.SERVER_AUTH), (site, ExtendedKeyUsageOID.CLIENT_AUTH)):
        certificate = x509.load_pem_x509_certificate(authority.sign(ask(node), node, days=90))
        found = certificate.extensions
        assert list(found.get_extension_for_class(x509.ExtendedKeyUsage).value) == [purpose]
        assert found.get_extension_for_class(x509.BasicConstraints).value.ca is False
        usage = found.get_extension_for_class(x509.KeyUsage).value
        assert (usage.digital_signature, usage.key_cert_sign, usage.crl_sign) == (True, False, False)
        own = found.get_extension_for_class(x509.SubjectKeyIdentifier).value
        assert own == x509.SubjectKeyIdentifier.from_public_key(certificate.public_key())
        above = found.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
        assert above == issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest


def test_a_certificate_begins_a_little_early_and_lasts_its_days(folder: Path, site: Node, ask: Ask) -> None:
    authority = Authority.open(folder, "eicu", now=NOW - timedelta(days=1))
    certificate = x509.load_pem_x509_certificate(authority.sign(ask(site), site, days=90, now=NOW))
    assert timedelta(minutes=1) <= NOW - certificate.not_valid_before_utc <= timedelta(minutes=15)
    assert certificate.not_valid_after_utc == NOW + timedelta(days=90)


def test_a_certificate_never_outlives_the_authority(folder: Path, site: Node, ask: Ask) -> None:
    authority = Authority.open(folder, "eicu", now=NOW)
    ends = x509.load_pem_x509_certificate(authority.pem).not_valid_after_utc

    def end(days_before: int) -> datetime:
        now = ends - timedelta(days=days_before)
        return x509.load_pem_x509_certificate(authority.sign(ask(site), site, days=90, now=now)).not_valid_after_utc

    assert end(30) == ends
    assert end(100) == ends - timedelta(days=10)
    with pytest.raises(UnusableAuthority, match="valid from 2030"):
        end(0)


def test_a_node_of_another_federation_is_refused(authority: Authority, site: Node, ask: Ask) -> None:
    stranger = dataclasses.replace(site, federation="mimic")
    with pytest.raises(RequestRefused, match="hospital-a is a node of mimic; this authority signs for eicu only"):
        authority.sign(ask(stranger), stranger, days=90)
    authority.sign(ask(site), site, days=90)


def test_every_certificate_stands_in_the_list_under_a_number_of_its_own(
    authority: Authority, hub: Node, site: Node, ask: Ask, folder: Path
) -> None:
    certificates = [
        x509.load_pem_x509_certificate(authority.sign(ask(node), node, days=90)) for node in (site, hub, site)
    ]
    listed = [json.loads(line) for line in (folder / "issued.jsonl").read_text("utf-8").splitlines()]
    assert [(entry["node"], entry["uri"]) for entry in listed] == [
        ("hospital-a", "federate://eicu/client/hospital-a"),
        ("aggregator", "federate://eicu/aggregator/aggregator"),
        ("hospital-a", "federate://eicu/client/hospital-a"),
    ]
    for entry, certificate in zip(listed, certificates, strict=True):
        assert int(entry["serial"], 16) == certificate.serial_number
        assert datetime.fromisoformat(entry["not_after"]) == certificate.not_valid_after_utc
        assert entry["sha256"] == certificate.fingerprint(hashes.SHA256()).hex()
    assert len({entry["serial"] for entry in listed}) == 3


def test_the_list_is_durable_before_a_certificate_is_given_out(
    authority: Authority, site: Node, ask: Ask, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []

    def fsync(handle: int) -> None:
        synced.append(Path(f"/proc/self/fd/{handle}").readlink().name)
        os.fdatasync(handle)

    monkeypatch.setattr(folder_module.os, "fsync", fsync)
    authority.sign(ask(site), site, days=90)
    assert synced == ["issued.jsonl", folder.name]


def test_nothing_is_given_out_that_cannot_be_listed(authority: Authority, site: Node, ask: Ask, folder: Path) -> None:
    (folder / "issued.jsonl").mkdir()
    with pytest.raises(UnusableAuthority, match=r"issued.jsonl cannot be written: .*hospital-a was not given out"):
        authority.sign(ask(site), site, days=90)
    (folder / "issued.jsonl").rmdir()
    authority.sign(ask(site), site, days=90)


def test_a_line_that_a_crash_has_torn_spoils_no_other(authority: Authority, site: Node, ask: Ask, folder: Path) -> None:
    (folder / "issued.jsonl").write_text('{"serial": "1"}\n{"ser')
    authority.sign(ask(site), site, days=90)
    first, torn, last = (folder / "issued.jsonl").read_text("utf-8").splitlines()
    assert (json.loads(first), torn, json.loads(last)["node"]) == ({"serial": "1"}, '{"ser', "hospital-a")


def enrol(folder: Path, authority: Authority, node: Node, ask: Ask) -> Path:
    """Do what a node does: a key of its own, a request, and the three files that the application reads."""
    key = ec.generate_private_key(ec.SECP256R1())
    folder.mkdir()
    (folder / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (folder / "certificate.pem").write_bytes(authority.sign(ask(node, key=key), node, days=90))
    (folder / "authority.pem").write_bytes(authority.pem)
    return folder


def test_the_application_takes_what_was_signed_and_refuses_another_node_s(
    authority: Authority, all_nodes: tuple[Node, ...], ask: Ask, tmp_path: Path
) -> None:
    for node in all_nodes:
        files = enrol(tmp_path / node.id, authority, node, ask)
        peer = load_credentials(files, federation="eicu", role=node.role, node=node.id).peer
        assert peer.uri == f"federate://eicu/{node.role}/{node.id}"
    with pytest.raises(IdentityError, match="names federate://eicu/client/hospital-a"):
        load_credentials(tmp_path / "hospital-a", federation="eicu", role="client", node="hospital-b")
    (tmp_path / "hospital-a" / "authority.pem").write_bytes(Authority.open(tmp_path / "other", "eicu").pem)
    with pytest.raises(IdentityError, match="has not signed"):
        load_credentials(tmp_path / "hospital-a", federation="eicu", role="client", node="hospital-a")


def test_certificates_open_mutual_tls_in_their_roles_and_in_no_other(
    authority: Authority, hub: Node, site: Node, neighbour: Node, ask: Ask, tmp_path: Path
) -> None:
    server, client, other = (enrol(tmp_path / node.id, authority, node, ask) for node in (hub, site, neighbour))
    shake_hands(server, client, hub.tls_name)
    with pytest.raises(ssl.SSLCertVerificationError, match="purpose"):
        shake_hands(other, client, neighbour.tls_name)  # a site as server
    with pytest.raises(ssl.SSLCertVerificationError, match="purpose"):
        shake_hands(server, server, hub.tls_name)  # the aggregator as client
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        shake_hands(server, client, neighbour.tls_name)
