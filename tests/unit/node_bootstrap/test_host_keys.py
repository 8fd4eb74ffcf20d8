"""The SSH host key is published once, without its comment, and never anything that is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from node_bootstrap import contract
from node_bootstrap.agent.host_keys import HostKeys

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKkpxzXzBJ1XwZ1R0o8o0l6yE0l6d1v1m1f8p2bq9q0a"


class Account:
    def __init__(self) -> None:
        self.published: list[tuple[str, str]] = []
        self.is_silent = False

    def publish(self, name: str, value: str) -> None:
        if self.is_silent:
            raise ConnectionError
        self.published.append((name, value))


@pytest.fixture
def account() -> Account:
    return Account()


def test_the_key_is_published_once_and_without_the_name_of_the_machine(account: Account, tmp_path: Path) -> None:
    file = tmp_path / "key.pub"
    file.write_text(f"{KEY} root@ip-10-10-0-10\n")
    keys = HostKeys(file, account.publish)
    keys.step()
    keys.step()
    assert account.published == [(contract.HOST_KEYS, KEY)]


def test_a_key_that_is_made_after_the_agent_has_started_is_published_then(account: Account, tmp_path: Path) -> None:
    file = tmp_path / "key.pub"
    keys = HostKeys(file, account.publish)
    keys.step()
    assert account.published == []
    file.write_text(KEY)
    keys.step()
    assert account.published == [(contract.HOST_KEYS, KEY)]


def test_an_account_that_does_not_answer_is_told_later(account: Account, tmp_path: Path) -> None:
    file = tmp_path / "key.pub"
    file.write_text(KEY)
    keys = HostKeys(file, account.publish)
    account.is_silent = True
    with pytest.raises(ConnectionError):
        keys.step()
    account.is_silent = False
    keys.step()
    assert account.published == [(contract.HOST_KEYS, KEY)]


@pytest.mark.parametrize(
    "text", ["", "ssh-rsa AAAA", f"{KEY}\n{KEY}", "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEA\n"]
)
def test_what_is_no_host_key_is_not_published(account: Account, tmp_path: Path, text: str) -> None:
    file = tmp_path / "key.pub"
    file.write_text(text)
    HostKeys(file, account.publish).step()
    assert account.published == []


def test_a_node_without_an_ssh_server_publishes_nothing(account: Account) -> None:
    HostKeys(None, account.publish).step()
    assert account.published == []
