"""Keys of EC2 Instance Connect: of a kind that it takes, for one minute, for one user of one instance."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from infra.local.aws.additions.ssh_keys import NoKey, SshKeys, checked


def line(private: ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    return private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


ED25519 = line(ed25519.Ed25519PrivateKey.generate())


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_key_is_shown_for_sixty_seconds_and_no_longer() -> None:
    clock = Clock()
    keys = SshKeys(clock)
    keys.put("i-a", "operator", ED25519)
    clock.now = 59.9
    assert keys.of("i-a", "operator") == [ED25519]
    clock.now = 60.0
    assert keys.of("i-a", "operator") == []


def test_a_key_is_shown_to_its_own_user_of_its_own_instance() -> None:
    keys = SshKeys()
    keys.put("i-a", "operator", ED25519)
    assert keys.of("i-b", "operator") == []
    assert keys.of("i-a", "root") == []


def test_keys_of_several_operators_are_shown_beside_each_other() -> None:
    keys = SshKeys()
    other = line(rsa.generate_private_key(65537, 2048))
    keys.put("i-a", "operator", ED25519)
    keys.put("i-a", "operator", f"{other}\n")
    assert keys.of("i-a", "operator") == [ED25519, other]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ssh-ed25519 AAAA",
        f"{ED25519}\n{ED25519}",
        f'command="sh" {ED25519}',
        line(ec.generate_private_key(ec.SECP256R1())),
        line(rsa.generate_private_key(65537, 1024)),
    ],
    ids=["nothing", "no key", "two keys", "options", "another curve", "too short"],
)
def test_what_is_no_key_or_of_another_kind_is_refused(text: str) -> None:
    with pytest.raises(NoKey):
        checked(text)
