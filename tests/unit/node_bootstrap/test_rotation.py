"""What is new is taken into use all at once, and a crash at any step leaves a key and a certificate that work."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fake_node import FakeAccount, facts

from fl_app.transport.identity import load_credentials
from infra.federation.derive import Node
from infra.identity import Authority
from node_bootstrap import contract
from node_bootstrap.agent.identity import Identity, IdentityError
from node_bootstrap.agent.loop import Loop
from node_bootstrap.contract import Held


class Crash(BaseException):
    """The process is gone: no handler of ours catches it."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state" / "tls"


@pytest.fixture
def site(all_nodes: dict[str, Node]) -> Node:
    return all_nodes["hospital-a"]


@pytest.fixture
def sign(authority: Authority, site: Node) -> Callable[[str], str]:
    return lambda request: authority.sign(request.encode(), site, days=90).decode()


@pytest.fixture
def pem(authority: Authority) -> str:
    return authority.pem.decode()


@pytest.fixture
def identity(folder: Path, sign: Callable[[str], str], pem: str) -> Identity:
    """A node that has its certificate."""
    made = Identity(folder, facts())
    made.install(sign(made.request()), pem)
    return made


def in_use(folder: Path) -> str:
    """Return the certificate that the application finds, which it finds with its key and its authority."""
    load_credentials(folder, federation="fed", role="client", node="hospital-a")
    return (folder / "certificate.pem").read_text()


def public_key(request: str) -> bytes:
    found = x509.load_pem_x509_csr(request.encode()).public_key()
    return found.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def test_a_rotation_makes_one_new_key_and_the_old_pair_stays_until_the_new_one_fits(
    identity: Identity, folder: Path, sign: Callable[[str], str], pem: str
) -> None:
    before, first = in_use(folder), identity.request()
    second = identity.request("r1")
    assert public_key(second) != public_key(first)
    assert identity.request("r1") == Identity(folder, facts()).request("r1") == second
    identity.install(before, pem)  # the coordinator has not answered yet
    assert in_use(folder) == before
    renewed = sign(second)
    identity.install(renewed, pem)
    assert in_use(folder) == renewed
    assert identity.request("r1") == second  # done: no further key
    assert not (folder.with_name("tls.sets") / "pending").exists()
    assert public_key(identity.request("r2")) != public_key(second)


def test_a_rotation_that_is_asked_for_anew_before_its_end_takes_the_place_of_the_one_before(
    identity: Identity, folder: Path, sign: Callable[[str], str], pem: str
) -> None:
    before = in_use(folder)
    late = sign(identity.request("r1"))
    identity.request("r2")
    with pytest.raises(IdentityError, match="of another key"):
        identity.install(late, pem)
    assert in_use(folder) == before
    identity.install(sign(identity.request("r2")), pem)
    assert in_use(folder) != before
    held = identity.held()
    assert held is not None
    assert held.rotation == "r2"


@pytest.mark.parametrize("name", ["../x", "a b", "x" * 4000, "-"])
def test_what_names_no_rotation_makes_no_key(identity: Identity, folder: Path, name: str) -> None:
    with pytest.raises(IdentityError, match="does not name a rotation"):
        identity.request(name)
    assert in_use(folder)


@contextmanager
def crash_at(step: int, monkeypatch: pytest.MonkeyPatch, look: Callable[[], object]) -> Iterator[list[int]]:
    """Look before each change of the disk, and end the process at one of them; yields how many there were."""
    done = [0]

    def before(go_on: Callable[..., object]) -> Callable[..., object]:
        def either(*arguments: object, **named: object) -> object:
            look()
            if done[0] == step:
                raise Crash
            done[0] += 1
            return go_on(*arguments, **named)

        return either

    with monkeypatch.context() as patched:
        for name in ("fsync", "unlink", "rmdir", "mkdir", "symlink", "replace", "rename"):
            patched.setattr(os, name, before(getattr(os, name)))
        yield done


def test_a_crash_at_any_step_of_a_rotation_leaves_a_pair_that_works_and_the_rotation_goes_on(
    tmp_path: Path, sign: Callable[[str], str], pem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps: every change of the disk, from the wish for a rotation to the end of what is old."""
    step, crashes = 0, 0
    while True:
        folder = tmp_path / str(step) / "tls"
        identity = Identity(folder, facts())
        identity.install(sign(identity.request()), pem)
        before = in_use(folder)
        with crash_at(step, monkeypatch, lambda folder=folder: in_use(folder)):  # type: ignore[misc]
            try:
                renewed = sign(identity.request("r1"))
                identity.install(renewed, pem)
                has_crashed = False
            except Crash:
                has_crashed = True
        assert in_use(folder)
        again = Identity(folder, facts())
        again.install(before if in_use(folder) == before else in_use(folder), pem)
        again.install(sign(again.request("r1")), pem)
        assert in_use(folder) != before
        held = again.held()
        assert held is not None
        assert held.rotation == "r1"
        assert not (folder.with_name("tls.sets") / "pending").exists()
        if not has_crashed:
            break
        crashes += 1
        step += 1
    assert crashes > 20  # the steps were met: a patch that misses them would crash nowhere


def test_the_same_crashes_without_sets_leave_a_key_that_is_not_the_certificate_s(
    identity: Identity, folder: Path, sign: Callable[[str], str], pem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative control: files replaced one by one, as one would without the link."""
    renewed = sign(identity.request("r1"))
    pending = folder.with_name("tls.sets") / "pending"
    shutil.copy(pending / "key.pem", folder / "key.pem")  # and here the process ends
    with pytest.raises(Exception, match=r"is not the certificate of key\.pem"):
        in_use(folder)
    (folder / "certificate.pem").write_text(renewed)
    in_use(folder)


def test_a_crash_at_any_step_of_the_first_enrolment_ends_in_one(
    tmp_path: Path, sign: Callable[[str], str], pem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, has_crashed = 0, True
    while has_crashed:
        folder = tmp_path / str(step) / "tls"
        identity, request = Identity(folder, facts()), None
        with crash_at(step, monkeypatch, lambda: None):
            try:
                request = identity.request()
                identity.install(sign(request), pem)
                has_crashed = False
            except Crash:
                pass
        again = Identity(folder, facts())
        if request is not None:
            assert public_key(again.request()) == public_key(request)  # what was published stays true
        certificate = sign(again.request())
        again.install(certificate, pem)
        assert in_use(folder) == certificate
        step += 1
    assert step > 10


def test_the_folder_of_an_earlier_agent_becomes_a_set(folder: Path, sign: Callable[[str], str], pem: str) -> None:
    other = Identity(folder.with_name("other"), facts())
    certificate = sign(other.request())
    other.install(certificate, pem)
    shutil.copytree(folder.with_name("other"), folder)
    (folder / "rotation").unlink()
    identity = Identity(folder, facts())
    assert identity.request() == other.request()
    assert folder.is_symlink()
    assert in_use(folder) == certificate


def test_the_key_of_an_earlier_agent_that_waits_for_its_certificate_is_kept(
    folder: Path, sign: Callable[[str], str], pem: str
) -> None:
    other = Identity(folder.with_name("other"), facts())
    request = other.request()
    shutil.copytree(folder.with_name("other.sets") / "pending", folder)
    (folder / "rotation").unlink()
    (folder / "request.pem").unlink()
    identity = Identity(folder, facts())
    assert public_key(identity.request()) == public_key(request)
    identity.install(sign(identity.request()), pem)
    assert in_use(folder)


def test_only_the_set_in_use_and_the_one_before_are_kept(
    identity: Identity, folder: Path, sign: Callable[[str], str], pem: str
) -> None:
    for number in range(4):
        identity.install(sign(identity.request(f"r{number}")), pem)
    assert sorted(path.name for path in folder.with_name("tls.sets").iterdir()) == ["3", "4"]
    assert folder.readlink().name == "4"


def test_several_authorities_are_trusted_together_and_one_of_them_must_have_signed(
    identity: Identity, folder: Path, tmp_path: Path, sign: Callable[[str], str], pem: str
) -> None:
    certificate, other = in_use(folder), Authority.open(tmp_path / "other", "fed").pem.decode()
    for bundle in (pem + other, other + pem):
        identity.install(certificate, bundle)
        assert (folder / "authority.pem").read_text() == bundle
        held = identity.held()
        assert held is not None
        assert set(held.trusts) == {name_of(pem), name_of(other)}
    with pytest.raises(IdentityError, match="of none of the authorities"):
        identity.install(certificate, other)
    assert (folder / "authority.pem").read_text() == other + pem


def name_of(pem: str) -> str:
    return contract.authority_name(x509.load_pem_x509_certificate(pem.encode()).public_bytes(Encoding.DER))


def test_a_certificate_that_is_over_does_not_take_the_place_of_one_that_is_good(
    identity: Identity, folder: Path, authority: Authority, site: Node, pem: str
) -> None:
    before = in_use(folder)
    opened = Authority.open(folder.with_name("past"), "fed", now=datetime.now(UTC) - timedelta(days=400))
    past = datetime.now(UTC) - timedelta(days=300)
    over = opened.sign(identity.request().encode(), site, days=90, now=past).decode()
    with pytest.raises(IdentityError, match="by this node's clock"):
        identity.install(over, opened.pem.decode() + pem)
    assert in_use(folder) == before


def test_the_hub_keeps_what_is_revoked_and_a_site_does_not(
    folder: Path, authority: Authority, all_nodes: dict[str, Node], identity: Identity, pem: str
) -> None:
    hub = Identity(folder.with_name("hub"), facts(node="aggregator", role="aggregator"))
    certificate = authority.sign(hub.request().encode(), all_nodes["aggregator"], days=90).decode()
    hub.install(certificate, pem)
    place = folder.with_name("hub")
    assert not (place / "revoked.json").exists()
    hub.install(certificate, pem, ["b2", "a1"])
    assert json.loads((place / "revoked.json").read_text()) == ["a1", "b2"]
    assert (place / "revoked.json").stat().st_mode & 0o777 == 0o600
    hub.install(certificate, pem, None)  # nobody takes it back by deleting a parameter
    assert json.loads((place / "revoked.json").read_text()) == ["a1", "b2"]
    held = hub.held()
    assert held is not None
    assert held.revoked == 2
    identity.install(in_use(folder), pem, ["a1"])
    assert not (folder / "revoked.json").exists()


def test_a_node_tells_what_it_has_and_why_it_does_not_take_what_it_was_given(
    account: FakeAccount, folder: Path, sign: Callable[[str], str], pem: str
) -> None:
    loop = Loop(facts(), account, folder.parent / "root", folder.parent)
    folder.parent.mkdir(parents=True)
    loop.step()
    assert Held.read(account.told[contract.STATE]) is None
    account.told[contract.AUTHORITY] = pem
    account.told[contract.CERTIFICATE] = certificate = sign(account.told[contract.REQUEST])
    loop.step()
    held = Held.read(account.told[contract.STATE])
    serial = f"{x509.load_pem_x509_certificate(certificate.encode()).serial_number:x}"
    assert held == Held(serial, (name_of(pem),))
    first = account.told[contract.REQUEST]
    account.told[contract.ROTATE] = "r1"
    loop.step()
    assert account.told[contract.REQUEST] != first
    assert account.state["state"] == "ready"  # the old pair is good
    account.told[contract.CERTIFICATE] = "nonsense"
    loop.step()
    held = Held.read(account.told[contract.STATE])
    assert held is not None
    assert "cannot be read" in held.problem
    account.told[contract.CERTIFICATE] = sign(account.told[contract.REQUEST])
    loop.step()
    held = Held.read(account.told[contract.STATE])
    assert held is not None
    assert (held.rotation, held.problem) == ("r1", "")


def test_a_long_list_of_what_is_revoked_goes_on_in_further_parameters() -> None:
    serials = {f"{number:040x}" for number in range(1, 200)}
    told = contract.revoked_parameters(serials)
    assert list(told) == ["revoked", "revoked-2", "revoked-3"]
    assert all(len(text) <= 4096 for text in told.values())
    assert len(contract.revoked_parameters({f"{1:040x}"})["revoked"]) < 4096
    assert set(contract.read_revoked({**told, "desired": "x"}) or ()) == serials
    assert contract.read_revoked({"desired": "x"}) is None
    assert contract.read_revoked(contract.revoked_parameters(())) == ()


@pytest.mark.parametrize("wrong", ["", "{}", '["A1"]', '["0xa1"]', "[7]", '[""]'])
def test_a_list_of_what_is_revoked_that_cannot_be_read_is_told_and_takes_nothing_back(
    account: FakeAccount, tmp_path: Path, authority: Authority, all_nodes: dict[str, Node], pem: str, wrong: str
) -> None:
    state = tmp_path / "hub"
    state.mkdir()
    loop = Loop(facts(node="aggregator", role="aggregator"), account, tmp_path / "root", state)
    loop.step()
    request = account.told[contract.REQUEST].encode()
    account.told[contract.AUTHORITY] = pem
    account.told[contract.CERTIFICATE] = authority.sign(request, all_nodes["aggregator"], days=90).decode()
    account.told |= contract.revoked_parameters(["a1"])
    loop.step()
    account.told[contract.REVOKED] = wrong
    loop.step()
    assert json.loads((state / "tls" / "revoked.json").read_text()) == ["a1"]
    held = Held.read(account.told[contract.STATE])
    assert held is not None
    assert "not a list of serial numbers" in held.problem


@pytest.mark.parametrize("state", [None, "", "[]", "{}", '{"identity": null}', '{"identity": {"serial": "1"}}'])
def test_a_node_that_says_nothing_of_its_identity_holds_nothing_that_is_known(state: str | None) -> None:
    assert Held.read(state) is None
