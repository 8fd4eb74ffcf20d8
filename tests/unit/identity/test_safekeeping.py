"""The authority is stored in the aggregator's account and fetched from it, and neither overwrites what was not seen."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from infra.federation.derive import Node, authority_secret
from infra.identity import Authority, UnusableAuthority
from infra.local.aws.clients import InProcessClients
from infra.local.aws.server import LoopbackAws
from infra.nodes.remote import Remote
from infra.nodes.safekeeping import NothingStored, WouldOverwrite, fetch, is_stored, store

_numbers = itertools.count(700_000_000_000)


class Accounts:
    """The aggregator's account, new and on an emulator in this process."""

    def __init__(self, clients: InProcessClients, account: str) -> None:
        self._clients, self._account = clients, account

    def client(self, service: str, *, profile: str, region: str) -> Any:
        assert profile == "aggregator"
        return self._clients.client(service, self._account, region)


@pytest.fixture(scope="module")
def emulator() -> LoopbackAws:
    return LoopbackAws([str(next(_numbers))])


@pytest.fixture
def at(hub: Node, emulator: LoopbackAws) -> Remote:
    account = str(next(_numbers))
    emulator.accounts.add([account])
    return Remote(None, hub, Accounts(InProcessClients(emulator), account))  # type: ignore[arg-type]  # no federation


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
    at.client("secretsmanager").create_secret(Name=authority_secret("eicu"), SecretString=json.dumps({"x": "y"}))
    with pytest.raises(WouldOverwrite):
        fetch(at, folder)
    shutil.rmtree(folder)
    with pytest.raises(UnusableAuthority, match="no authority of this toolkit's"):
        fetch(at, folder)
    assert not folder.exists()
