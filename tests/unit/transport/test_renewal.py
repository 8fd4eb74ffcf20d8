"""Certificates change, are revoked and lose their authority while streams are open; messages arrive once."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from authority import Authority
from cryptography import x509
from wire_place import GREETING, STATUS, Inbox, Place, assert_others_go_on, wait_until

from fl_app.errors import IdentityError
from fl_app.transport.events import Failed, Joined, Received, Returned
from fl_app.transport.hub import Hub
from fl_app.transport.identity import Credentials, load_credentials
from fl_app.transport.link import Link
from fl_app.transport.renewal import Watcher
from fl_app.transport.wire import encode_header

import grpc  # isort: skip


class Home:
    """A node's state folder, whose ``tls`` is a symbolic link that is swapped in one step."""

    def __init__(self, root: Path, node: str, role: str) -> None:
        self.root, self.node, self.role = root, node, role
        self._numbers = itertools.count()

    def swap(self, *issuers: Authority, revoked: list[str] | None = None, keep: bool = False) -> Credentials:
        """Put a new identity there, of the first issuer, trusting all of them; or keep it and change the trust."""
        folder = self.root / f"{self.node}-tls-{next(self._numbers)}"
        if keep:
            folder.mkdir(parents=True)
            for name in ("key.pem", "certificate.pem"):
                (folder / name).write_bytes((self.root / self.node / name).read_bytes())
        else:
            issuers[0].issue(folder, self.node, role=self.role)
        (folder / "authority.pem").write_bytes(b"".join(issuer.pem for issuer in issuers))
        if revoked is not None:
            (folder / "revoked.json").write_text(json.dumps(revoked))
        beside = self.root / f".{self.node}"
        beside.symlink_to(folder)
        beside.replace(self.root / self.node)
        return load_credentials(self.root / self.node, federation="test", role=self.role, node=self.node)


def serial(credentials: Credentials) -> str:
    return f"{x509.load_pem_x509_certificate(credentials.certificate).serial_number:x}"


class Both:
    """A hub and site-a, each with a home and a watcher."""

    def __init__(self, place: Place, root: Path, *issuers: Authority) -> None:
        self.place = place
        self.hub_home, self.home = Home(root, "aggregator", "aggregator"), Home(root, "site-a", "client")
        hub_credentials, self.credentials = self.hub_home.swap(*issuers), self.home.swap(*issuers)
        self.hub: Hub = place.start_hub(credentials=hub_credentials)
        self.inbox = Inbox()
        self.link: Link = place.link(self.credentials, self.inbox, look=lambda: self.watchers[1].look())
        self.watchers = [Watcher(hub_credentials, self.hub.renew), Watcher(self.credentials, self.link.renew)]
        for watcher in self.watchers:
            watcher.start()
        self.inbox.wait_for(Joined)

    def send(self) -> None:
        self.link.send(encode_header(STATUS), b"")

    def arrived(self) -> bool:
        return self.place.inbox.wait_for(Received).envelope == STATUS

    def close(self) -> None:
        for watcher in self.watchers:
            watcher.close()


@pytest.fixture
def both(place: Place, tmp_path: Path, authority: Authority) -> Iterator[Both]:
    made = Both(place, tmp_path / "homes", authority)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fl_app.transport.link._RENEWAL_SECONDS", 2.0)


def test_a_live_stream_ends_when_its_certificate_is_revoked_and_others_go_on(both: Both, authority: Authority) -> None:
    both.hub_home.swap(authority, revoked=[serial(both.credentials)], keep=True)
    error = both.inbox.wait_for(Failed).error
    assert isinstance(error, IdentityError)
    assert f"the certificate {serial(both.credentials)} is revoked" in str(error)
    wait_until(lambda: not both.hub.connected())
    assert_others_go_on(both.place)


def test_a_revoked_certificate_opens_no_stream(both: Both, authority: Authority) -> None:
    both.hub_home.swap(authority, revoked=[serial(both.credentials)], keep=True)
    both.inbox.wait_for(Failed)
    code, reason = both.place.raw([GREETING], both.credentials)
    assert (code, reason) == (
        grpc.StatusCode.UNAUTHENTICATED,
        f"the certificate {serial(both.credentials)} is revoked",
    )


def test_a_live_stream_ends_when_nobody_trusts_its_authority_any_more(both: Both) -> None:
    both.hub_home.swap(Authority())
    assert "no authority that is trusted here" in str(both.inbox.wait_for(Failed).error)


def test_a_site_changes_its_certificate_and_what_it_sends_meanwhile_arrives_once(
    both: Both, authority: Authority
) -> None:
    for _ in range(3):
        new = both.home.swap(authority)
        both.send()
        both.inbox.wait_for(Returned)
        both.send()
        assert both.arrived()
        assert both.arrived()
        assert both.link.flush(10)
    assert both.place.inbox.is_quiet()
    both.hub_home.swap(authority, revoked=[serial(both.credentials)], keep=True)  # the old one: nobody has it any more
    both.send()
    assert both.arrived()
    assert new != both.credentials


def test_the_hub_changes_its_certificate_without_ending_a_stream_and_new_ones_see_it(
    both: Both, authority: Authority
) -> None:
    new = both.hub_home.swap(authority)
    wait_until(lambda: both.hub.admission.credentials == new)
    both.send()
    assert both.arrived()
    assert both.hub.connected() == {"site-a"}
    assert both.place.served_certificate() == x509.load_pem_x509_certificate(new.certificate)


def test_the_authority_changes_in_steps_and_messages_go_on(both: Both, authority: Authority) -> None:
    new = Authority()
    both.hub_home.swap(authority, new, keep=True)
    both.home.swap(authority, new, keep=True)
    both.inbox.wait_for(Returned)
    wait_until(lambda: len(both.hub.admission.credentials.authorities) == 2)
    both.home.swap(new, authority)
    both.inbox.wait_for(Returned)
    both.hub_home.swap(new, authority)
    both.send()
    assert both.arrived()
    final = both.hub_home.swap(new)
    wait_until(lambda: both.hub.admission.credentials == final)
    both.home.swap(new)
    both.inbox.wait_for(Returned)
    both.send()
    assert both.arrived()
    with pytest.raises(AssertionError, match="no Failed"):
        both.inbox.wait_for(Failed, seconds=0.1)


def test_a_new_identity_that_is_not_good_is_not_taken(
    both: Both, authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = authority.issue(tmp_path / "bad", "site-a", since=timedelta(hours=-2), until=timedelta(hours=-1))
    (tmp_path / ".bad").symlink_to(folder)
    (tmp_path / ".bad").replace(tmp_path / "homes" / "site-a")
    wait_until(lambda: "The identity from before stays in use" in caplog.text)
    both.send()
    assert both.arrived()


@pytest.mark.parametrize("text", ["{}", "[1]", '["xyz"]', "nonsense"])
def test_a_list_of_revoked_serials_that_cannot_be_read_admits_nobody(
    tmp_path: Path, authority: Authority, text: str
) -> None:
    home = Home(tmp_path, "aggregator", "aggregator")
    home.swap(authority)
    (tmp_path / "aggregator" / "revoked.json").write_text(text)
    with pytest.raises(IdentityError, match="not a list of revoked serial numbers"):
        load_credentials(tmp_path / "aggregator", federation="test", role="aggregator", node="aggregator")
