"""What can be done to the unit that runs a node's agent: a few fixed commands, which the image lets operators give."""

from __future__ import annotations

from enum import StrEnum

from infra.nodes.reach.outcome import Outcome, Transport
from infra.nodes.remote import Remote

UNIT = "federate-agent.service"
_LINES = 200


class Action(StrEnum):
    """What to do."""

    START = "start"
    STOP = "stop"
    RESTART = "restart"
    STATUS = "status"
    LOGS = "logs"


def command(action: Action, *, as_root: str = "") -> str:
    """Return the line of shell; the image's sudo rules name the commands to the letter."""
    if action is Action.LOGS:
        return f"{as_root}journalctl --no-pager -u {UNIT} | tail -n {_LINES}"
    if action is Action.STATUS:
        return f"{as_root}systemctl --no-pager status {UNIT}"
    return f"{as_root}systemctl {action} {UNIT}"


def act(action: Action, remote: Remote, transport: Transport, timeout: float) -> Outcome:
    """Do something to the unit of a node; see :class:`~infra.nodes.reach.outcome.Transport` for what it raises."""
    return transport.run(remote, command(action, as_root=transport.as_root), timeout)
