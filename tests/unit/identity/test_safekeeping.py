"""The authority is stored in the aggregator's account and fetched from it, and neither overwrites what was not seen."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from infra.federation.derive import Node
from infra.identity import Authority, UnusableAuthority
from infra.nodes.remote import Remote
from infra.nodes.safekeeping import NothingStored, WouldOverwrite, fetch, is_stored, secret_name, store


class Accounts:
    """The aggregator's account, in memory."""

    def client(self, service: str, *, profile: str, region: str) -> Any:
        assert profile == "aggregator"
        return boto3.client(service, region_name=region, aws_access_key_id="x", aws_secret_access_key="x")


@pytest.fixture
def at(hub: Node) -> Iterator[Remote]:
    with mock_aws():
        yield Remote(None, hub, Accounts())  # type: ignore[arg-type]  # asks nothing of the federation


def test_it_comes_back_on_another_machine(at: Remote, authority: Authority, folder: Path, tmp_path: Path) -> None:
    assert is_stored(folder) is None
    assert store(at, folder)
    assert not store(at, folder)
    assert is_stored(folder)
    elsewhere = tmp_path / "laptop" / "eicu"
    assert fetch(at, elsewhere)
    assert not fetch(at, elsewhere)
    assert Authority.open(elsewhere, "eicu").pem == authority.pem
    authority.begin()
    assert is_stored(folder) is False
    assert store(at, folder)
    assert fetch(at, elsewhere)
    assert Authority.open(elsewhere, "eicu").phase == authority.phase


def test_two_machines_do_not_overwrite_each_other(
    at: Remote, authority: Authority, folder: Path, tmp_path: Path
) -> None:
    store(at, folder)
    elsewhere = tmp_path / "laptop" / "eicu"
    fetch(at, elsewhere)
    Authority.open(elsewhere, "eicu").begin()
    store(at, elsewhere)
    authority.begin()  # another next authority than the laptop's
    with pytest.raises(WouldOverwrite, match="was stored from elsewhere"):
        store(at, folder)
    with pytest.raises(WouldOverwrite, match="was changed since it was last stored"):
        fetch(at, folder)
    shutil.rmtree(folder)
    assert fetch(at, folder)
    assert Authority.open(folder, "eicu").bundle == Authority.open(elsewhere, "eicu").bundle


def test_what_was_never_stored_cannot_be_fetched_and_what_is_not_there_cannot_be_stored(
    at: Remote, folder: Path
) -> None:
    with pytest.raises(NothingStored, match="no secret federate-authority/eicu"):
        fetch(at, folder)
    with pytest.raises(NothingStored, match="There is no authority"):
        store(at, folder)
    assert not folder.exists()


def test_a_secret_that_is_no_authority_changes_nothing(at: Remote, authority: Authority, folder: Path) -> None:
    at.client("secretsmanager").create_secret(Name=secret_name("eicu"), SecretString=json.dumps({"x": "y"}))
    with pytest.raises(WouldOverwrite):
        fetch(at, folder)
    shutil.rmtree(folder)
    with pytest.raises(UnusableAuthority, match="no authority of this toolkit's"):
        fetch(at, folder)
    assert not folder.exists()
