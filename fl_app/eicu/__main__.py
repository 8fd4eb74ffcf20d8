"""``python -m fl_app.eicu``: get eICU data, look at it, deal it to sites, and prepare it for training."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from fl_app.eicu import commands
from fl_app.eicu.features import VARIANTS
from fl_app.eicu.fetch import DEMO_URL
from fl_app.eicu.survey import MINIMUM_CELL
from fl_app.eicu.tasks import TASKS
from fl_app.errors import FlAppError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        0; 2 if the data or the arguments cannot be used, and then the reason is on standard error; 130 if interrupted.
    """
    parsed = _parser().parse_args(arguments)
    try:
        said: commands.Said = parsed.run(parsed)
        print(json.dumps(said.document, ensure_ascii=False) if parsed.json else said.text, flush=True)
    except FlAppError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # whoever read the output has had enough of it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        print(f"{error}.", file=sys.stderr)
        return FlAppError.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m fl_app.eicu", description=__doc__)
    added = parser.add_subparsers(required=True, metavar="COMMAND")
    for add in (_fetch_demo, _synthesize, _describe, _deal, _prepare, _survey, _fit, _vocabulary):
        add(added)
    return parser


_Commands = argparse._SubParsersAction  # typed in typeshed alone


def _command(
    added: _Commands[argparse.ArgumentParser],
    name: str,
    run: Callable[[argparse.Namespace], commands.Said],
    text: str,
    example: str,
) -> argparse.ArgumentParser:
    command = added.add_parser(
        name, help=text, description=text, epilog=f"Example: python -m fl_app.eicu {name} {example}"
    )
    command.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    command.set_defaults(run=run)
    return command


def _source(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--source",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder with eICU tables (CSV, CSV.gz or Parquet), or a DuckDB file",
    )


def _fetch_demo(added: _Commands[argparse.ArgumentParser]) -> None:
    command = _command(
        added,
        "fetch-demo",
        commands.run_fetch_demo,
        "Download the open eICU demo (no credentials needed) and check its published SHA-256 sums; may be repeated.",
        "--out eicu-demo",
    )
    command.add_argument("--out", type=Path, required=True, metavar="DIR", help="gets the tables")
    command.add_argument("--url", default=DEMO_URL, help=f"the release's folder (default {DEMO_URL})")


def _synthesize(added: _Commands[argparse.ArgumentParser]) -> None:
    command = _command(
        added,
        "synthesize",
        commands.run_synthesize,
        "Write a synthetic eICU: the release's files, columns and quirks, and no patient. Every output says synthetic.",
        "--out synthetic --stays 2500 --seed 0",
    )
    command.add_argument("--out", type=Path, required=True, metavar="DIR", help="gets the tables as CSV.gz")
    command.add_argument("--stays", type=_positive, default=2500, metavar="N", help="unit stays (default 2500)")
    command.add_argument("--seed", type=_whole, default=0, metavar="N", help="of everything random (default 0)")


def _describe(added: _Commands[argparse.ArgumentParser]) -> None:
    command = _command(
        added,
        "describe",
        commands.run_describe,
        "Show the cohort's flow, and per hospital and site the stays, outcomes and missing values.",
        "--source eicu-demo --out description",
    )
    command.add_argument(
        "--source", type=Path, required=True, metavar="DIR", help="folder with eICU tables, or what `deal` wrote"
    )
    command.add_argument("--out", type=Path, metavar="DIR", help="gets the tables as CSV, and figure.png")


def _deal(added: _Commands[argparse.ArgumentParser]) -> None:
    command = _command(
        added,
        "deal",
        commands.run_deal,
        "Split hospitals over sites, and a site's hospitals into train and test; write each site's own tables. Sites "
        "with a list or with regions get these hospitals, the others share the rest by seed, balanced by stays and "
        "deaths. No stay, patient or hospital is ever on two sides.",
        "--source eicu-demo --out sites --sites hospital-a,hospital-b --seed 0 --assign hospital-a=73,264",
    )
    _source(command)
    command.add_argument("--out", type=Path, required=True, metavar="DIR", help="gets one folder per site")
    which = command.add_mutually_exclusive_group(required=True)
    which.add_argument("--sites", type=_names, metavar="A,B", help="the sites' names")
    which.add_argument(
        "--federation", type=Path, metavar="FILE", help="federation.yaml: its participants, with their data.hospitals"
    )
    command.add_argument("--seed", type=_whole, default=0, metavar="N", help="decides the split (default 0)")
    command.add_argument(
        "--assign",
        type=_assignment,
        action="append",
        default=[],
        metavar="SITE=ID,ID",
        help="exactly these hospitals to this site; may be repeated",
    )
    command.add_argument(
        "--region",
        type=_regions,
        action="append",
        default=[],
        metavar="SITE=NAME,NAME",
        help="the hospitals of these regions of the hospital table to this site; may be repeated",
    )
    command.add_argument(
        "--test-share", type=_share, default=0.25, metavar="X", help="held out at each site, by hospital (default 0.25)"
    )


def _prepare(added: _Commands[argparse.ArgumentParser]) -> None:
    command = _command(
        added,
        "prepare",
        commands.run_prepare,
        "Reduce raw tables to hourly features in Parquet, with a manifest; does nothing if nothing changed.",
        "--source eicu-demo --out features --variant benchmark",
    )
    _source(command)
    command.add_argument("--out", type=Path, required=True, metavar="DIR", help="gets the three files")
    _variant(command)


def _survey(added: _Commands[argparse.ArgumentParser]) -> None:
    command = _command(
        added,
        "survey",
        commands.run_survey,
        "Write what this site is willing to say about its training stays, for a fit of ids and scaling over all sites: "
        "a small file to read before it is handed over.",
        "--source sites/hospital-a --site hospital-a --out hospital-a.json",
    )
    command.add_argument(
        "--source", type=Path, required=True, metavar="DIR", help="the site's folder, with its hospitals.json"
    )
    command.add_argument("--site", required=True, metavar="NAME", help="the site's name")
    command.add_argument("--out", type=Path, required=True, metavar="FILE", help="the survey")
    command.add_argument("--task", choices=sorted(TASKS), default="mortality_48h", help="default: mortality_48h")
    _variant(command)
    command.add_argument(
        "--minimum-cell",
        type=_positive,
        default=MINIMUM_CELL,
        metavar="N",
        help=f"stays below which nothing is reported (default {MINIMUM_CELL})",
    )


def _fit(added: _Commands[argparse.ArgumentParser]) -> None:
    command = _command(
        added,
        "fit",
        commands.run_fit,
        "Fit ids, ranges, medians and class frequencies on the sites' surveys; nobody's data is pooled.",
        "--surveys hospital-a.json hospital-b.json --out fit.json",
    )
    command.add_argument("--surveys", type=Path, nargs="+", required=True, metavar="FILE", help="one of each site")
    command.add_argument("--out", type=Path, required=True, metavar="FILE", help="the fit, for every site")


def _vocabulary(added: _Commands[argparse.ArgumentParser]) -> None:
    command = _command(
        added,
        "vocabulary",
        commands.run_vocabulary,
        "Print the vocabulary file that a release's category names make; no patient's data is in it.",
        '--source eicu-demo --name "eICU demo 2.0.1" > vocabulary.json',
    )
    _source(command)
    command.add_argument("--name", required=True, help="what the file says it is from")


def _variant(command: argparse.ArgumentParser) -> None:
    command.add_argument("--variant", choices=sorted(VARIANTS), default="benchmark", help="default: benchmark")


def _names(text: str) -> list[str]:
    names = text.split(",")
    if not all(names) or len(set(names)) < len(names) or any("/" in name or name.startswith(".") for name in names):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a list of different site names, such as hospital-a,hospital-b"
        )
    return names


def _assignment(text: str) -> tuple[str, list[int]]:
    site, _, hospitals = text.partition("=")
    try:
        return site, [int(hospital) for hospital in hospitals.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not SITE=ID,ID, such as hospital-a=73,264") from None


def _regions(text: str) -> tuple[str, list[str]]:
    site, _, names = text.partition("=")
    regions = [name.strip() for name in names.split(",")]
    if not site or not all(regions):
        raise argparse.ArgumentTypeError(f"{text!r} is not SITE=NAME,NAME, such as hospital-a=South,West")
    return site, regions


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 0")
    return int(text)


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share between 0 and 1, such as 0.25")
    return share


if __name__ == "__main__":
    sys.exit(main())
