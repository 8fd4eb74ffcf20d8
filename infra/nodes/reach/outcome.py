"""What comes of a command on a node, and how it can fail to be run at all."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from infra.errors import FederateError
from infra.nodes.remote import Remote


@dataclass(frozen=True, slots=True)
class Outcome:
    """A command that was run to its end; Systems Manager tells the first 24,000 characters of either output."""

    exit_code: int
    stdout: str
    stderr: str

    def as_dict(self) -> dict[str, Any]:
        """Return it for ``--json``."""
        return asdict(self)


class Transport(Protocol):
    """A way to a node. ``as_root`` is what stands before a command that needs root."""

    @property
    def as_root(self) -> str:
        """The prefix, with a blank at its end; empty where commands are root's anyway."""

    def run(self, remote: Remote, command: str, timeout: float) -> Outcome:
        """Run a line of shell on a node.

        Args:
            remote: the node.
            command: for ``sh``.
            timeout: seconds that the command may take; the way there and back is not in them.

        Raises:
            NotDeployed: there is no such instance.
            NobodyAnswers: there is, and it cannot be reached.
            TimedOut: the command took too long.
        """


class NobodyAnswers(FederateError):
    """The node's instance is there, and nobody on it answers."""

    exit_code = 4

    def __init__(self, remote: Remote, why: str, *, remedy: str = "") -> None:
        super().__init__(f"Nobody answers on {remote.node.id}: {why}.", remedy=remedy or what_to_do(remote))


class TimedOut(FederateError):
    """The command did not come to its end in time."""

    exit_code = 6

    def __init__(self, remote: Remote, timeout: float) -> None:
        super().__init__(
            f"{remote.node.id}: the command did not end within {timeout:g} s, and was ended.",
            remedy="Give it longer: --timeout SECONDS.",
        )


def is_loopback() -> bool:
    """Say whether AWS is the one on loopback: its names must never be looked up in the world."""
    return bool(os.environ.get("AWS_ENDPOINT_URL"))


def what_to_do(remote: Remote) -> str:
    """Return the next step where a node does not answer."""
    if is_loopback():
        return "On loopback AWS a node has an agent and SSH at the twin's depth machines only: federate local status."
    id_ = remote.node.id
    return (
        f"Is its instance up, and made from Federate's image? federate status; federate logs {id_}; "
        f"aws ec2 get-console-output --profile {remote.node.profile} --instance-id …"
    )
