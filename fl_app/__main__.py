"""``python -m fl_app client|server``: one node of a federation."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import traceback
from pathlib import Path

from fl_app.errors import FlAppError
from fl_app.signals import StopSignal
from fl_app.transport.memory import share_freed_memory

_UNEXPECTED = 1

_EXAMPLE = """\
example:
  python -m fl_app server --config run --data data --state state --output output

exit codes:
  0 the run is done · 1 unexpected, see error.log in the output folder · 2 configuration or data
  3 identity or TLS refused · 5 the run was cancelled · 130 stopped by a signal
"""


def main(arguments: list[str] | None = None) -> int:
    """Run the node that the command line describes; return the exit code."""
    options = _parse(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    logging.getLogger("fl_app").setLevel(logging.INFO)
    # gRPC's own log would tell the same as ours, less clearly; read when grpc is imported.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    stop = StopSignal()
    stop.install(can_cancel=options.role == "server")
    share_freed_memory()
    try:
        from fl_app.nodes import run_client, run_server  # after the signals: importing torch takes seconds

        if options.role == "server":
            run_server(options.config, options.state, options.output, stop, start=options.start)
        else:
            run_client(options.config, options.data, options.state, options.output, stop)
    except FlAppError as error:
        print(f"fl_app {options.role}: {error}", file=sys.stderr)
        return error.exit_code
    except Exception as error:
        print(
            f"fl_app {options.role}: unexpected {type(error).__name__}: {error}{_keep(options.output)}", file=sys.stderr
        )
        return _UNEXPECTED
    return 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m fl_app",
        description="Run one node of a federation: the aggregator (server) or a site (client).",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("role", choices=("client", "server"))
    for name, text in {
        "config": "folder with fedml_config.yaml, grpc_ipconfig.csv and gpu_mapping.yaml",
        "data": "folder with the site's own data; the server has none and does not look there",
        "state": "folder with tls/ (key.pem, certificate.pem, authority.pem); checkpoints are kept there",
        "output": "folder for results and progress",
    }.items():
        parser.add_argument(f"--{name}", type=Path, required=True, metavar="DIR", help=text)
    parser.add_argument(
        "--start",
        default="",
        metavar="NAME",
        help="names this start of the server: a run that was done under it is not begun again, whatever was killed",
    )
    return parser.parse_args(arguments)


def _keep(output: Path) -> str:
    """Keep the traceback where a developer finds it, and say where."""
    try:
        output.mkdir(parents=True, exist_ok=True)
        (output / "error.log").write_text(traceback.format_exc())
    except OSError:
        return ""
    return f"\n  The traceback is in {output / 'error.log'}."


if __name__ == "__main__":
    sys.exit(main())
