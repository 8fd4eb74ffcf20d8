"""What is revoked stays revoked: the certificate, its key, and a site until it is admitted again."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from infra.federation.derive import Node
from infra.identity import Authority, Condition, NodeRevoked, NothingToRevoke, UnusableAuthority, condition, serial

Ask = Callable[..., bytes]

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)


def number_of(certificate: bytes) -> str:
    return serial(x509.load_pem_x509_certificate(certificate))


def test_a_revoked_site_gets_no_certificate_until_it_is_admitted_and_then_for_a_new_key_only(
    authority: Authority, site: Node, neighbour: Node, ask: Ask
) -> None:
    numbers = {number_of(authority.sign(ask(site), site, days=90)) for _ in range(2)}
    fresh = ask(site, key=ec.generate_private_key(ec.SECP256R1()))
    assert {one.serial for one in authority.revoke(site.id, reason="laptop stolen")} == numbers
    assert authority.revoked.serials == numbers
    for request in (ask(site), fresh):
        with pytest.raises(NodeRevoked, match=r"hospital-a was revoked \(laptop stolen\)(.|\n)*admit hospital-a"):
            authority.sign(request, site, days=90)
    other = ec.generate_private_key(ec.SECP256R1())
    authority.sign(ask(neighbour, key=other), neighbour, days=90)  # negative control: nobody else is concerned
    authority.admit(site.id)
    with pytest.raises(NodeRevoked, match=r"a key that was revoked(.|\n)*identity rotate hospital-a"):
        authority.sign(ask(site), site, days=90)
    renewed = number_of(authority.sign(fresh, site, days=90))
    assert renewed not in authority.revoked.serials
    assert authority.revoked.serials == numbers  # admission takes nothing back


def test_one_certificate_is_revoked_with_its_key_and_the_site_goes_on_with_another(
    authority: Authority, site: Node, ask: Ask
) -> None:
    first = number_of(authority.sign(ask(site), site, days=90))
    fresh = ask(site, key=ec.generate_private_key(ec.SECP256R1()))
    second = number_of(authority.sign(fresh, site, days=90))
    authority.revoke(f"0x{first.upper()}", reason="an old back-up was lost")
    assert authority.revoked.serials == {first}
    assert authority.revoked.barred == {}
    assert number_of(authority.sign(fresh, site, days=90)) != second
    with pytest.raises(NodeRevoked, match="a key that was revoked"):
        authority.sign(ask(site), site, days=90)


def test_it_is_read_again_by_whoever_opens_the_folder_and_only_its_owner_can(
    authority: Authority, site: Node, ask: Ask, folder: Path
) -> None:
    number = number_of(authority.sign(ask(site), site, days=90))
    authority.revoke(site.id, reason="why")
    authority.revoke(site.id, reason="once more")  # says nothing new
    (line,) = (folder / "revoked.jsonl").read_text("utf-8").splitlines()
    told = json.loads(line)
    assert (told["node"], told["serials"], told["reason"]) == (site.id, [number], "why")
    assert Authority.open(folder, "eicu").revoked == authority.revoked
    for name in ("revoked.jsonl", "issued.jsonl"):
        assert (folder / name).stat().st_mode & 0o777 == 0o600


def test_nothing_is_revoked_that_cannot_be_recorded_and_a_torn_line_was_never_acted_upon(
    authority: Authority, site: Node, ask: Ask, folder: Path
) -> None:
    authority.sign(ask(site), site, days=90)
    (folder / "revoked.jsonl").mkdir()
    with pytest.raises(UnusableAuthority, match=r"revoked.jsonl cannot be read"):
        authority.revoke(site.id, reason="why")
    (folder / "revoked.jsonl").rmdir()
    (folder / "revoked.jsonl").write_text('{"action": "revoke", "no')
    assert authority.revoked.serials == frozenset()
    authority.revoke(site.id, reason="why")
    assert len(authority.revoked.serials) == 1


@pytest.mark.parametrize("line", ["{}", '{"action": "revoke"}', '{"action": "revoke", "serials": 7}'])
def test_a_line_that_is_none_of_ours_is_not_passed_over(authority: Authority, folder: Path, line: str) -> None:
    (folder / "revoked.jsonl").write_text(f"{line}\n")
    with pytest.raises(UnusableAuthority, match=r"revoked.jsonl has a line that is none"):
        _ = authority.revoked


def test_what_was_never_issued_and_the_aggregator_s_own_cannot_be_revoked(
    authority: Authority, site: Node, hub: Node, ask: Ask
) -> None:
    number = number_of(authority.sign(ask(hub), hub, days=90))
    for what in (site.id, "hospital-x", "ab" * 20):
        with pytest.raises(NothingToRevoke, match=f"no certificate of '{what}'"):
            authority.revoke(what, reason="why")
    for what in ("aggregator", number):
        with pytest.raises(NothingToRevoke, match="rotate-authority"):
            authority.revoke(what, reason="why")
    with pytest.raises(NothingToRevoke, match="hospital-a is not revoked"):
        authority.admit(site.id)
    assert authority.revoked.serials == frozenset()


def test_what_ended_by_itself_need_not_be_refused_by_name(folder: Path, site: Node, ask: Ask) -> None:
    authority = Authority.open(folder, "eicu", now=NOW)
    number = number_of(authority.sign(ask(site), site, days=90, now=NOW))
    authority.revoke(number, reason="why", now=NOW)
    day = timedelta(days=1)
    assert authority.refused_serials(now=NOW + 89 * day) == {number}
    assert authority.refused_serials(now=NOW + 91 * day) == frozenset()
    # What the hub was told and this folder does not know, say because it is an old back-up, stays refused.
    assert authority.refused_serials(frozenset({"ab"}), now=NOW + 91 * day) == {"ab"}


def test_what_an_authority_has_signed_that_is_trusted_no_more_need_not_be_refused_by_name(
    authority: Authority, site: Node, ask: Ask
) -> None:
    number = number_of(authority.sign(ask(site), site, days=90))
    authority.revoke(number, reason="why")
    authority.begin()
    authority.switch()
    assert authority.refused_serials() == {number}  # the old authority is trusted still
    authority.finish()
    assert authority.refused_serials() == frozenset()
    assert authority.revoked.serials == {number}


def test_how_a_certificate_is(folder: Path, site: Node, ask: Ask) -> None:
    authority = Authority.open(folder, "eicu", now=NOW)
    found = x509.load_pem_x509_certificate(authority.sign(ask(site), site, days=90, now=NOW))
    day = timedelta(days=1)
    assert condition(found, (), NOW) == condition(found, {"ab"}, NOW + 59 * day) == Condition.GOOD
    assert condition(found, (), NOW + 61 * day) == Condition.SOON
    assert condition(found, (), NOW + 90 * day) == Condition.EXPIRED
    for after in (0, 61, 90):
        assert condition(found, {serial(found)}, NOW + after * day) == Condition.REVOKED
