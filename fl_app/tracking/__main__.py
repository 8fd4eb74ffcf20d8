"""``python -m fl_app.tracking report --results DIR``: the report of a run, from the files that it left."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from fl_app.errors import FlAppError
from fl_app.tracking.report import write_report
from fl_app.tracking.results import read_results


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit code: 0, or that of the error that is printed."""
    parser = argparse.ArgumentParser(prog="python -m fl_app.tracking")
    commands = parser.add_subparsers(dest="command", required=True)
    report = commands.add_parser("report", help="write report.html, figure.png and the tables of a run")
    report.add_argument("--results", type=Path, required=True, help="the folder with rounds.jsonl and its like")
    report.add_argument("--title", help="heading; the federation's name if left out")
    chosen = parser.parse_args(arguments)
    try:
        results = read_results(chosen.results)
        written = write_report(results, chosen.results, chosen.title)
    except FlAppError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    for path in written:
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
