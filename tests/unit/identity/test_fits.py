"""A node is signed for anew when its certificate no longer fits, and only then."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from infra.federation.derive import Node
from infra.identity import Authority, fits

Ask = Callable[..., bytes]

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
MARGIN = timedelta(days=30)


@pytest.fixture
def authority(folder: Path) -> Authority:
    return Authority.open(folder, "eicu", now=NOW)


@pytest.fixture
def certificate(authority: Authority, site: Node, ask: Ask) -> bytes:
    """A certificate of the site for 90 days."""
    return authority.sign(ask(site), site, days=90, now=NOW)


def test_it_fits_until_the_margin_before_its_end(
    authority: Authority, certificate: bytes, site: Node, ask: Ask
) -> None:
    def is_good(after: timedelta) -> bool:
        return fits(certificate, ask(site), authority.pem, site, renew_within=MARGIN, revoked=(), now=NOW + after)

    second = timedelta(seconds=1)
    assert is_good(timedelta())
    assert is_good(timedelta(days=60) - second)
    assert not is_good(timedelta(days=60))
    assert not is_good(timedelta(days=90))
    assert not is_good(-timedelta(hours=1))


def test_it_does_not_fit_another_key(authority: Authority, certificate: bytes, site: Node, ask: Ask) -> None:
    renewed = ask(site, key=ec.generate_private_key(ec.SECP256R1()))
    assert fits(certificate, ask(site), authority.pem, site, renew_within=MARGIN, revoked=(), now=NOW)
    assert not fits(certificate, renewed, authority.pem, site, renew_within=MARGIN, revoked=(), now=NOW)


def test_it_does_not_fit_another_authority_of_the_same_name(
    authority: Authority, certificate: bytes, site: Node, ask: Ask, folder: Path
) -> None:
    other = Authority.open(folder.with_name("other"), "eicu", now=NOW)
    assert not fits(certificate, ask(site), other.pem, site, renew_within=MARGIN, revoked=(), now=NOW)


@pytest.mark.parametrize("change", [{"id": "hospital-b"}, {"role": "aggregator"}, {"federation": "mimic"}])
def test_it_does_not_fit_another_node(
    authority: Authority, certificate: bytes, site: Node, ask: Ask, change: dict[str, str]
) -> None:
    other = dataclasses.replace(site, **change)  # type: ignore[arg-type]
    assert not fits(certificate, ask(site), authority.pem, other, renew_within=MARGIN, revoked=(), now=NOW)


@pytest.mark.parametrize("wrong", [b"", b"nonsense"])
def test_what_is_not_there_does_not_fit(
    authority: Authority, certificate: bytes, site: Node, ask: Ask, wrong: bytes
) -> None:
    for texts in (
        (wrong, ask(site), authority.pem),
        (certificate, wrong, authority.pem),
        (certificate, ask(site), wrong),
    ):
        assert not fits(*texts, site, renew_within=MARGIN, revoked=(), now=NOW)


def test_a_revoked_one_does_not_fit_and_another_s_revocation_does_not_matter(
    authority: Authority, certificate: bytes, site: Node, ask: Ask
) -> None:
    number = f"{x509.load_pem_x509_certificate(certificate).serial_number:x}"

    def is_good(revoked: set[str]) -> bool:
        return fits(certificate, ask(site), authority.pem, site, renew_within=MARGIN, revoked=revoked, now=NOW)

    assert not is_good({number})
    assert is_good({"ab", number[:-1]})


def test_a_new_certificate_fits_by_the_clock_of_today(folder: Path, site: Node, ask: Ask) -> None:
    authority = Authority.open(folder.with_name("today"), "eicu")
    request = ask(site)
    assert fits(authority.sign(request, site, days=90), request, authority.pem, site, renew_within=MARGIN, revoked=())
