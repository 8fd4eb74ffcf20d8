"""Where the ``federate`` command begins: reading its code takes a moment, in which Ctrl-C must not show any of it."""

from __future__ import annotations

import sys

_STOPPED = 130


def main() -> int:
    """Run a command; return its exit code, see :func:`infra.cli.main.main`."""
    try:
        from infra.cli.main import main as run
    except KeyboardInterrupt:
        print("Stopped before anything was begun.", file=sys.stderr)
        return _STOPPED
    return run()


if __name__ == "__main__":
    sys.exit(main())
