"""The authority goes into a secret and comes back as it was; what is there already is never lost by it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from infra.federation.derive import Node
from infra.identity import Authority, UnusableAuthority
from infra.identity.packing import pack, put_stored, read_stored, unpack

Ask = Callable[..., bytes]


def test_it_comes_back_as_it_was_in_the_middle_of_a_rotation_and_closed_to_others(
    authority: Authority, folder: Path, site: Node, ask: Ask, tmp_path: Path
) -> None:
    authority.sign(ask(site), site, days=90)
    authority.revoke(site.id, reason="why")
    authority.begin()
    place = tmp_path / "other" / "eicu"
    unpack(place, pack(folder))
    found = Authority.open(place, "eicu")
    assert (found.bundle, found.phase, found.revoked) == (authority.bundle, authority.phase, authority.revoked)
    assert place.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in place.iterdir()} == {0o600}
    assert pack(place) == pack(folder)
    found.switch()
    assert found.pem != authority.pem


def test_of_what_was_issued_only_what_is_still_valid_is_stored(
    authority: Authority, folder: Path, site: Node, ask: Ask
) -> None:
    authority.sign(ask(site), site, days=30)
    authority.sign(ask(site), site, days=90)
    assert len(json.loads(pack(folder))["issued.jsonl"].splitlines()) == 2
    later = datetime.now(UTC) + timedelta(days=60)
    assert len(json.loads(pack(folder, later))["issued.jsonl"].splitlines()) == 1


def test_what_is_there_already_is_kept_beside(authority: Authority, folder: Path, tmp_path: Path) -> None:
    other = Authority.open(tmp_path / "other", "eicu")
    unpack(folder, pack(tmp_path / "other"))
    assert Authority.open(folder, "eicu").pem == other.pem
    (beside,) = folder.parent.glob("eicu.before-*")
    assert Authority.open(beside, "eicu").pem == authority.pem


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"key.pem": ""}', '{"key.pem": "", "certificate.pem": "", "../x": ""}']
)
def test_what_is_no_authority_changes_nothing(authority: Authority, folder: Path, text: str) -> None:
    with pytest.raises(UnusableAuthority, match="no authority of this toolkit's"):
        unpack(folder, text)
    assert Authority.open(folder, "eicu").pem == authority.pem


def test_which_version_holds_what_is_here_is_remembered(authority: Authority, folder: Path) -> None:
    assert read_stored(folder) == {}
    put_stored(folder, "v1", "d")
    assert read_stored(folder) == {"version": "v1", "sha256": "d"}
    (folder / "stored.json").write_text("[]")
    assert read_stored(folder) == {}
    assert Authority.open(folder, "eicu").pem == authority.pem
