"""``python -m node_bootstrap.failed REASON``: publish this node's state as failed, and send the last log lines.

Where nobody can log in, the account is the place to say why a node does not come up. Run by ``federate-failed``, before
there is an agent that could say so.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from pathlib import Path

from node_bootstrap import contract, measures
from node_bootstrap.agent.account import Account, AccountError
from node_bootstrap.agent.facts import Facts, FactsError
from node_bootstrap.user_data import FACTS_PATH

#: Stream of the node's log group, behind the node's name.
STREAM = "bootstrap"
_REASON_CHARACTERS = 1000  # a parameter holds 4096 bytes
_LINES = 60
_SECONDS = 10.0
_BYTES = 32_768
_CLOUD_INIT = Path("/var/log/cloud-init-output.log")
_JOURNAL = (
    *("journalctl", "--boot", "--no-pager", "--output=short-iso", f"--lines={_LINES}"),
    *("--unit=federate-state.service", "--unit=federate-agent.service"),
)


def main(arguments: list[str] | None = None, facts_path: Path = Path(FACTS_PATH)) -> int:
    """Publish the state, then send what was said; return the exit code: 0 once the state is published."""
    given = sys.argv[1:] if arguments is None else arguments
    reason = (given[0] if given else "it is not said why")[:_REASON_CHARACTERS]
    try:
        facts = Facts.read(facts_path)
    except FactsError as error:
        print(f"federate-failed: {error}", file=sys.stderr)
        return 2
    account = Account(facts)
    try:
        told = {"state": contract.NodeState.FAILED.value, "reason": reason}
        account.publish(contract.STATE, json.dumps(told))
    except AccountError as error:
        print(f"federate-failed: the account does not answer: {error}", file=sys.stderr)
        return 1
    with contextlib.suppress(*AccountError):  # the reason is there; the rest is more of it
        account.log(f"{facts.node}/{STREAM}", [*_journal(), *_cloud_init(), f"ERROR {reason}"])
        # There is no agent yet that would measure anything, and the alarm rests on this one line.
        values = {measures.BOOTSTRAP_FAILED: 1}
        line = measures.line(int(time.time() * 1000), facts.federation, facts.node, values)
        account.log_whole(measures.stream(facts.node), [line])
    return 0


def _journal() -> list[str]:
    """Return what the units have said since this boot."""
    try:
        said = subprocess.run(_JOURNAL, capture_output=True, text=True, errors="replace", timeout=_SECONDS, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return []
    return said.stdout.splitlines()[-_LINES:]


def _cloud_init() -> list[str]:
    """Return the end of what user data has said."""
    try:
        with _CLOUD_INIT.open("rb") as log:
            log.seek(max(0, log.seek(0, 2) - _BYTES))
            return log.read().decode("utf-8", errors="replace").splitlines()[-_LINES:]
    except OSError:
        return []


if __name__ == "__main__":
    sys.exit(main())
