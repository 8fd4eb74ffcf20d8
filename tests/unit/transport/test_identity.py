"""A node's own identity is checked before anything is sent, and what is wrong with it is said."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from authority import Authority

from fl_app.errors import IdentityError
from fl_app.transport.identity import load_credentials


def load(folder: Path) -> str:
    return load_credentials(folder, federation="test", role="client", node="site-a").peer.uri


def test_a_good_identity_is_read(tmp_path: Path, authority: Authority) -> None:
    assert load(authority.issue(tmp_path, "site-a")) == "federate://test/client/site-a"


def test_another_node_s_files_are_refused(tmp_path: Path, authority: Authority) -> None:
    with pytest.raises(IdentityError, match=r"names federate://test/client/site-b; the run files say .*site-a"):
        load(authority.issue(tmp_path, "site-b"))


def test_another_federation_and_another_role_are_refused(tmp_path: Path, authority: Authority) -> None:
    with pytest.raises(IdentityError, match="federate://other/client/site-a"):
        load(authority.issue(tmp_path / "1", "site-a", federation="other"))
    with pytest.raises(IdentityError, match="federate://test/aggregator/site-a"):
        load(authority.issue(tmp_path / "2", "site-a", role="aggregator"))


def test_expired_and_not_yet_valid_certificates_are_refused_with_their_dates(
    tmp_path: Path, authority: Authority
) -> None:
    hour = timedelta(hours=1)
    with pytest.raises(IdentityError, match="is valid from"):
        load(authority.issue(tmp_path / "1", "site-a", since=-2 * hour, until=-hour))
    with pytest.raises(IdentityError, match="is valid from"):
        load(authority.issue(tmp_path / "2", "site-a", since=hour, until=2 * hour))


def test_a_certificate_of_another_authority_is_refused(tmp_path: Path, authority: Authority) -> None:
    folder = authority.issue(tmp_path, "site-a")
    (folder / "authority.pem").write_bytes(Authority().pem)
    with pytest.raises(IdentityError, match="has not signed"):
        load(folder)


def test_a_key_that_is_not_the_certificate_s_is_refused(tmp_path: Path, authority: Authority) -> None:
    folder = authority.issue(tmp_path / "1", "site-a")
    other = authority.issue(tmp_path / "2", "site-a")
    (folder / "key.pem").write_bytes((other / "key.pem").read_bytes())
    with pytest.raises(IdentityError, match="not the certificate of key"):
        load(folder)


@pytest.mark.parametrize("name", ["key.pem", "certificate.pem", "authority.pem"])
def test_a_file_that_is_missing_or_nonsense_is_named(tmp_path: Path, authority: Authority, name: str) -> None:
    folder = authority.issue(tmp_path, "site-a")
    (folder / name).write_text("nonsense")
    with pytest.raises(IdentityError, match=rf"{name} is not"):
        load(folder)
    (folder / name).unlink()
    with pytest.raises(IdentityError, match=rf"{name} does not exist"):
        load(folder)
