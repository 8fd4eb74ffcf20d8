"""``python -m node_bootstrap.agent``: what the unit ``federate-agent.service`` runs."""

from __future__ import annotations

import argparse
import contextlib
import errno
import json
import logging
import signal
import sys
import threading
from pathlib import Path
from types import FrameType

from node_bootstrap import contract
from node_bootstrap.agent.account import Account, AccountError
from node_bootstrap.agent.facts import Facts, FactsError
from node_bootstrap.agent.host_keys import HostKeys
from node_bootstrap.agent.logs import Shipper
from node_bootstrap.agent.loop import Loop
from node_bootstrap.agent.metrics import Meter
from node_bootstrap.agent.notices import POLL_SECONDS, Notices, of_this_instance
from node_bootstrap.user_data import FACTS_PATH

_EXAMPLE = "Example: python -m node_bootstrap.agent --facts /etc/federate/node.json --root /var/lib/federate"
_LONGEST_PAUSE_SECONDS = 30.0
_UNEXPECTED = 70
#: The unit gives 30 seconds; the application has up to 15 of them.
_LAST_WORDS_SECONDS = 8.0

_log = logging.getLogger("node_bootstrap.agent")


def parser() -> argparse.ArgumentParser:
    """Return the command line; the unit and the twin use it."""
    made = argparse.ArgumentParser(prog="python -m node_bootstrap.agent", description=__doc__, epilog=_EXAMPLE)
    made.add_argument("--facts", type=Path, default=Path(FACTS_PATH), metavar="FILE", help="what user data wrote")
    made.add_argument("--root", type=Path, required=True, metavar="DIR", help="code, run files, data and output")
    made.add_argument("--state", type=Path, required=True, metavar="DIR", help="the state volume: keys, checkpoints")
    made.add_argument("--host-key", type=Path, metavar="FILE", help="public key of the SSH server, to be published")
    made.add_argument("--poll", type=float, default=2.0, metavar="SECONDS", help="between two looks (default 2)")
    made.add_argument(
        "--notices", type=float, default=POLL_SECONDS, metavar="SECONDS", help="between two looks for notices (5)"
    )
    return made


def main(arguments: list[str] | None = None) -> int:
    """Run the agent until a signal ends it; return the exit code."""
    options = parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    logging.getLogger("botocore").setLevel(logging.WARNING)
    end = _End()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end.told)
    try:
        facts = Facts.read(options.facts)
    except FactsError as error:
        print(f"agent: {error}", file=sys.stderr)
        return 2
    account = Account(facts)
    try:
        for folder in (options.root, options.state):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        print(f"agent: {error}", file=sys.stderr)
        _publish_failure(account, f"the agent cannot use its folders: {error}")
        return 2
    notices = Notices(of_this_instance(), end.wake.set, options.notices)
    loop = Loop(facts, account, options.root, options.state, notice=notices.now)
    shipper = Shipper(account, facts.node, loop.application_log)
    shipper.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    logging.getLogger("node_bootstrap").addHandler(shipper)
    meter, measured = Meter(facts, account, lambda: loop.standing, options.root, options.state), threading.Event()
    threading.Thread(target=meter.run, args=(measured,), name="metrics", daemon=True).start()
    try:
        notices.start()
        _run(loop, HostKeys(options.host_key, account.publish), shipper, end, options.poll)
        return 0
    except Exception:
        _log.exception("the agent itself failed")  # it is started again; why, must not be lost
        return _UNEXPECTED
    finally:
        measured.set()
        notices.close()
        loop.close()
        _log.info("the agent ends")
        _ship_in_time(shipper)


class _Told(BaseException):
    """A signal says that it is time to end; no handler of errors on the way holds it up."""


class _End:
    """When the agent is to end. A step that is under way is broken off: whatever it was at, a kill could have been."""

    def __init__(self) -> None:
        self.wake = threading.Event()
        self.is_told = self.is_stepping = False

    def told(self, number: int, frame: FrameType | None) -> None:
        """Take a signal."""
        del number, frame
        was_told, self.is_told = self.is_told, True
        self.wake.set()
        if self.is_stepping and not was_told:
            raise _Told


def _run(loop: Loop, host_keys: HostKeys, shipper: Shipper, end: _End, poll: float) -> None:
    """Step until told to end; an account that does not answer is asked again, ever more seldom."""
    pause = poll
    try:
        while True:
            end.is_stepping = True
            if end.is_told:  # looked at once a signal would break the step off: none is missed in between
                return
            try:
                host_keys.step()
                loop.step()
                shipper.ship()
                pause = poll
            except AccountError as error:
                pause = min(2 * pause, max(poll, _LONGEST_PAUSE_SECONDS))
                _log.warning("the account does not answer (%s); asked again in %g s", error, pause)
            except OSError as error:  # a full disk, say: what can be freed by itself may be
                pause = min(2 * pause, max(poll, _LONGEST_PAUSE_SECONDS))
                _log.error("%s; tried again in %g s", _of_disk(error), pause)
                with contextlib.suppress(*AccountError, OSError):
                    shipper.ship()  # it may be all that is heard of the node
            end.is_stepping = False
            end.wake.wait(pause)
            if not end.is_told:
                end.wake.clear()
    except _Told:
        pass
    finally:
        end.is_stepping = False


def _ship_in_time(shipper: Shipper) -> None:
    """Send the last lines, and give up while there is time to end in order: an account may be slow to answer."""

    def ship() -> None:
        with contextlib.suppress(*AccountError, OSError):
            shipper.ship()

    last = threading.Thread(target=ship, name="last words", daemon=True)
    last.start()
    last.join(_LAST_WORDS_SECONDS)


def _of_disk(error: OSError) -> str:
    """Return an error of the disk with what to do where it is full."""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return str(error)
    return f"{error}: free space on the node's disk, or enlarge its volume"


def _publish_failure(account: Account, reason: str) -> None:
    """Say why nothing can run; the log's folder may be one of those that are missing, so it would not be heard of."""
    with contextlib.suppress(*AccountError):
        account.publish(contract.STATE, json.dumps({"state": contract.NodeState.FAILED.value, "reason": reason}))


if __name__ == "__main__":
    sys.exit(main())
