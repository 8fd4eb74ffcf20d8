"""``python -m infra.local.aws --port N --accounts ID,ID``: run AWS on loopback until it is ended."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from infra.local.aws.server import serve


def main() -> None:
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser(prog="python -m infra.local.aws", description="AWS on 127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--accounts", required=True, help="12-digit account ids, separated by commas")
    parser.add_argument("--home", type=Path, help="the folder of the session that it belongs to")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        twin = arguments.home / "twin" if arguments.home else None
        serve(arguments.accounts.split(","), arguments.port, twin)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
