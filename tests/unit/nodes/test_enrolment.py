"""A node's request is answered once, and again only when the certificate no longer fits."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from fake_node import facts
from fake_parameters import FakeParameters

from infra.federation.model import Federation, Security
from infra.identity import Authority, RequestRefused
from infra.nodes.enrolment import OtherAuthority, enrol, start_over
from infra.nodes.remote import Remote
from node_bootstrap import contract
from node_bootstrap.agent.identity import Identity

NOW = datetime.now(UTC)


@pytest.fixture
def site(by_id: Mapping[str, Remote]) -> Remote:
    return by_id["hospital-a"]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.open(tmp_path / "identity", "fed", now=NOW - timedelta(days=200))


@pytest.fixture
def node(tmp_path: Path, accounts: FakeParameters) -> Identity:
    """The identity of hospital-a's node, which has asked."""
    made = Identity(tmp_path / "tls", facts())
    accounts.tell("hospital-a", contract.REQUEST, made.request())
    return made


def test_a_node_that_has_not_asked_yet_gets_nothing(
    site: Remote, fed: Federation, authority: Authority, accounts: FakeParameters
) -> None:
    assert enrol(site, fed, authority) is False
    assert accounts.puts == []


def test_a_request_is_answered_once_and_the_node_takes_the_answer(
    site: Remote, fed: Federation, authority: Authority, accounts: FakeParameters, node: Identity, tmp_path: Path
) -> None:
    assert all(enrol(site, fed, authority) for _ in range(3))
    # The certificate last: with it the node has all it waits for.
    assert accounts.puts == [("hospital-a", contract.AUTHORITY), ("hospital-a", contract.CERTIFICATE)]
    certificate = accounts.told("hospital-a", contract.CERTIFICATE) or ""
    node.install(certificate, accounts.told("hospital-a", contract.AUTHORITY) or "")
    assert (tmp_path / "tls" / "certificate.pem").read_text() == certificate
    ends = x509.load_pem_x509_certificate(certificate.encode()).not_valid_after_utc
    assert timedelta(days=89, hours=23) < ends - datetime.now(UTC) <= timedelta(days=90)


@pytest.mark.parametrize(("age", "renewed"), [(59, False), (61, True), (100, True)])
def test_a_certificate_is_renewed_in_the_last_third_of_its_life(
    site: Remote,
    fed: Federation,
    authority: Authority,
    accounts: FakeParameters,
    node: Identity,
    age: int,
    renewed: bool,
) -> None:
    old = authority.sign(node.request().encode(), site.node, days=90, now=NOW - timedelta(days=age)).decode()
    accounts.tell("hospital-a", contract.CERTIFICATE, old)
    accounts.tell("hospital-a", contract.AUTHORITY, authority.pem.decode())
    assert enrol(site, fed, authority)
    assert (accounts.told("hospital-a", contract.CERTIFICATE) != old) is renewed


def test_another_lifetime_in_the_file_counts_at_the_next_look(
    site: Remote, fed: Federation, authority: Authority, accounts: FakeParameters, node: Identity
) -> None:
    enrol(site, fed.model_copy(update={"security": Security(certificate_days=10)}), authority)
    short = accounts.told("hospital-a", contract.CERTIFICATE)
    enrol(site, fed, authority)
    assert accounts.told("hospital-a", contract.CERTIFICATE) != short


def test_another_key_is_signed_anew(
    site: Remote, fed: Federation, authority: Authority, accounts: FakeParameters, node: Identity, tmp_path: Path
) -> None:
    enrol(site, fed, authority)
    (tmp_path / "tls.sets" / "pending" / "key.pem").unlink()
    accounts.tell("hospital-a", contract.REQUEST, node.request())
    enrol(site, fed, authority)
    node.install(*(accounts.told("hospital-a", name) or "" for name in (contract.CERTIFICATE, contract.AUTHORITY)))


def test_another_authority_takes_a_node_over_only_when_it_is_told_to_start_over(
    site: Remote, fed: Federation, authority: Authority, accounts: FakeParameters, node: Identity, tmp_path: Path
) -> None:
    enrol(site, fed, authority)
    other = Authority.open(tmp_path / "other", "fed")
    before = accounts.told("hospital-a", contract.CERTIFICATE)
    with pytest.raises(OtherAuthority, match="start-over"):
        enrol(site, fed, other)
    assert accounts.told("hospital-a", contract.CERTIFICATE) == before
    start_over(site)
    enrol(site, fed, other)
    assert accounts.told("hospital-a", contract.AUTHORITY) == other.pem.decode()
    assert accounts.told("hospital-a", contract.CERTIFICATE) != before


@pytest.mark.parametrize("other", [{"node": "hospital-b"}, {"federation": "mimic"}, {"role": "aggregator"}])
def test_a_request_in_anothers_name_is_refused_and_changes_nothing(
    site: Remote, fed: Federation, authority: Authority, accounts: FakeParameters, tmp_path: Path, other: dict[str, str]
) -> None:
    accounts.tell("hospital-a", contract.REQUEST, Identity(tmp_path / "other", facts(**other)).request())
    with pytest.raises(RequestRefused, match="federate://fed/client/hospital-a is due"):
        enrol(site, fed, authority)
    assert accounts.puts == []


def test_what_is_no_request_is_refused(
    site: Remote, fed: Federation, authority: Authority, accounts: FakeParameters
) -> None:
    accounts.tell("hospital-a", contract.REQUEST, "nonsense")
    with pytest.raises(RequestRefused, match="cannot be read"):
        enrol(site, fed, authority)
    assert accounts.puts == []
