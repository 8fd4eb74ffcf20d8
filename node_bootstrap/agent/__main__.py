"""``python -m node_bootstrap.agent``: what the unit ``federate-agent.service`` runs."""

from __future__ import annotations

import argparse
import contextlib
import logging
import signal
import sys
import threading
from pathlib import Path

from node_bootstrap.agent.account import Account, AccountError
from node_bootstrap.agent.facts import Facts, FactsError
from node_bootstrap.agent.host_keys import HostKeys
from node_bootstrap.agent.logs import Shipper
from node_bootstrap.agent.loop import Loop
from node_bootstrap.agent.metrics import Meter
from node_bootstrap.user_data import FACTS_PATH

_EXAMPLE = "Example: python -m node_bootstrap.agent --facts /etc/federate/node.json --root /var/lib/federate"
_LONGEST_PAUSE_SECONDS = 30.0
_UNEXPECTED = 70

_log = logging.getLogger("node_bootstrap.agent")


def parser() -> argparse.ArgumentParser:
    """Return the command line; the unit and the twin use it."""
    made = argparse.ArgumentParser(prog="python -m node_bootstrap.agent", description=__doc__, epilog=_EXAMPLE)
    made.add_argument("--facts", type=Path, default=Path(FACTS_PATH), metavar="FILE", help="what user data wrote")
    made.add_argument("--root", type=Path, required=True, metavar="DIR", help="code, run files, data and output")
    made.add_argument("--state", type=Path, required=True, metavar="DIR", help="the state volume: keys, checkpoints")
    made.add_argument("--host-key", type=Path, metavar="FILE", help="public key of the SSH server, to be published")
    made.add_argument("--poll", type=float, default=2.0, metavar="SECONDS", help="between two looks (default 2)")
    return made


def main(arguments: list[str] | None = None) -> int:
    """Run the agent until a signal ends it; return the exit code."""
    options = parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    logging.getLogger("botocore").setLevel(logging.WARNING)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        facts = Facts.read(options.facts)
        for folder in (options.root, options.state):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except (FactsError, OSError) as error:
        print(f"agent: {error}", file=sys.stderr)
        return 2
    account = Account(facts)
    loop = Loop(facts, account, options.root, options.state)
    shipper = Shipper(account, facts.node, loop.application_log)
    shipper.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    logging.getLogger("node_bootstrap").addHandler(shipper)
    meter = Meter(facts, account, lambda: loop.standing, options.root, options.state)
    threading.Thread(target=meter.run, args=(stop,), name="metrics", daemon=True).start()
    try:
        _run(loop, HostKeys(options.host_key, account.publish), shipper, stop, options.poll)
        return 0
    except Exception:
        _log.exception("the agent itself failed")  # it is started again; why, must not be lost
        return _UNEXPECTED
    finally:
        loop.close()
        with contextlib.suppress(*AccountError, OSError):
            shipper.ship()


def _run(loop: Loop, host_keys: HostKeys, shipper: Shipper, stop: threading.Event, poll: float) -> None:
    """Step until told to stop; an account that does not answer is asked again, ever more seldom."""
    pause = poll
    while not stop.is_set():
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
            _log.error("%s; tried again in %g s", error, pause)
            with contextlib.suppress(*AccountError, OSError):
                shipper.ship()  # it may be all that is heard of the node
        stop.wait(pause)


if __name__ == "__main__":
    sys.exit(main())
