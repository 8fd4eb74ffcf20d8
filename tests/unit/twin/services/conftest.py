"""An instance and a service that knows it, on loopback."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "helpers"))

from infra.local.twin.services.metadata import Credentials, Metadata

START = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)


@dataclass
class Clock:
    """Stands still until it is moved."""

    now: float = START.timestamp()

    def __call__(self) -> float:
        return self.now


@dataclass
class Role:
    """Gives credentials that last for an hour, a different key each time."""

    clock: Clock
    given: list[str] = field(default_factory=list)

    def __call__(self) -> Credentials:
        self.given.append(f"ASIAROLE{len(self.given):012d}")
        expires = datetime.fromtimestamp(self.clock(), UTC) + timedelta(hours=1)
        return {"AccessKeyId": self.given[-1], "SecretAccessKey": "secret", "Token": "token", "Expiration": expires}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def role(clock: Clock) -> Role:
    return Role(clock)


@pytest.fixture
def metadata(role: Role) -> Callable[..., Metadata]:
    """Make an instance's metadata; keywords replace what stands here."""

    def make(**changed: Any) -> Metadata:
        told: dict[str, Any] = {
            "instance": "i-0123456789abcdef0",
            "account": "111111111111",
            "region": "us-east-1",
            "zone": "us-east-1a",
            "image": "ami-0fed0000000000001",
            "instance_type": "g5.xlarge",
            "address": "10.10.0.10",
            "mac": "02:00:0a:0a:00:0a",
            "subnet_id": "subnet-0a",
            "vpc_id": "vpc-0a",
            "security_groups": ["node"],
            "profile_arn": "arn:aws:iam::111111111111:instance-profile/node",
            "profile_id": "AIPAABCDEFGHIJKLMNOPQ",
            "role": "federate-node",
            "user_data": b"#!/bin/sh\nexit 0\n\xff",
            "credentials": role,
            "ssh_keys": lambda user: ["ssh-ed25519 AAAA one"] if user == "federate-operator" else [],
        }
        return Metadata(**{**told, **changed})

    return make
