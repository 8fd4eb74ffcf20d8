"""``python -m fl_app.eicu``: deal a release to sites, make a synthetic one, describe and prepare."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from fl_app.eicu.cohort import read_patients
from fl_app.eicu.deal import deal
from fl_app.eicu.features import VARIANTS
from fl_app.eicu.fetch import DEMO_URL, fetch_demo
from fl_app.eicu.prepare import prepare
from fl_app.eicu.synthetic import synthesize
from fl_app.eicu.tables import Tables
from fl_app.eicu.vocabulary import derive
from fl_app.errors import FlAppError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        0, or 2 if the data or the arguments cannot be used; then the reason is on standard error.
    """
    parsed = _parser().parse_args(arguments)
    try:
        parsed.run(parsed)
    except FlAppError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever read the output has had enough of it
        sys.stdout = None
    return 0


def _deal(parsed: argparse.Namespace) -> None:
    shares = deal(
        parsed.source,
        parsed.out,
        parsed.sites,
        parsed.seed,
        assigned=dict(parsed.assign),
        test_share=parsed.test_share,
    )
    for share in shares:
        hospitals = share.hospitals
        print(
            f"{share.site}: {share.patients.height} stays of {len(hospitals.train)} training and "
            f"{len(hospitals.test)} test hospitals ({hospitals.source}) in {parsed.out / share.site}"
        )


def _synthesize(parsed: argparse.Namespace) -> None:
    rows = synthesize(parsed.out, parsed.stays, parsed.seed)
    print(f"synthetic eICU: {parsed.stays} stays, {rows} nurseCharting rows in {parsed.out}")


def _prepare(parsed: argparse.Namespace) -> None:
    prepared = prepare(parsed.source, parsed.out, parsed.variant)
    manifest = prepared.manifest
    print(
        f"{'unchanged' if prepared.reused else 'prepared'}: {manifest['stays']} stays, {manifest['rows']} hourly rows "
        f"({manifest['variant']}, {manifest['source']}) in {parsed.out}"
    )


def _describe(parsed: argparse.Namespace) -> None:
    from fl_app.eicu import describe  # brings matplotlib, which the other commands do without

    description = describe.describe(parsed.source)
    print(describe.as_text(description))
    for path in describe.write(description, parsed.out) if parsed.out else ():
        print(f"wrote {path}")


def _fetch_demo(parsed: argparse.Namespace) -> None:
    fetch_demo(parsed.out, parsed.url)


def _vocabulary(parsed: argparse.Namespace) -> None:
    sys.stdout.write(derive(read_patients(Tables(parsed.source)), parsed.name))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m fl_app.eicu", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    command = _command(
        commands,
        "deal",
        "Split hospitals over sites, and a site's hospitals into train and test; write each site's own tables.",
        "deal --source eicu-demo --out sites --sites hospital-a,hospital-b --seed 0 --assign hospital-a=73,264",
    )
    _source(command)
    command.add_argument("--out", type=Path, required=True, metavar="DIR", help="gets one folder per site")
    command.add_argument("--sites", type=_names, required=True, metavar="A,B", help="the sites' names")
    command.add_argument("--seed", type=int, default=0, metavar="N", help="decides the split (default 0)")
    command.add_argument(
        "--assign",
        type=_assignment,
        action="append",
        default=[],
        metavar="SITE=ID,ID",
        help="exactly these hospitals to this site; the sites without a list share the rest; may be repeated",
    )
    command.add_argument(
        "--test-share", type=_share, default=0.25, metavar="X", help="held out at each site, by hospital (default 0.25)"
    )
    command.set_defaults(run=_deal)

    command = _command(
        commands,
        "synthesize",
        "Write a synthetic eICU: the release's files, columns and quirks, and no patient. Every output says synthetic.",
        "synthesize --out synthetic --stays 2500 --seed 0",
    )
    command.add_argument("--out", type=Path, required=True, metavar="DIR", help="gets the tables as CSV.gz")
    command.add_argument("--stays", type=_positive, default=2500, metavar="N", help="unit stays (default 2500)")
    command.add_argument("--seed", type=int, default=0, metavar="N", help="of everything random (default 0)")
    command.set_defaults(run=_synthesize)

    command = _command(
        commands,
        "prepare",
        "Reduce raw tables to hourly features in Parquet, with a manifest; does nothing if nothing changed.",
        "prepare --source eicu-demo --out features --variant benchmark",
    )
    _source(command)
    command.add_argument("--out", type=Path, required=True, metavar="DIR", help="gets the three files")
    command.add_argument("--variant", choices=sorted(VARIANTS), default="benchmark", help="default: benchmark")
    command.set_defaults(run=_prepare)

    command = _command(
        commands,
        "describe",
        "Show the cohort's flow, and per hospital and site the stays, outcomes and missing values.",
        "describe --source eicu-demo --out description",
    )
    command.add_argument(
        "--source", type=Path, required=True, metavar="DIR", help="folder with eICU tables, or what `deal` wrote"
    )
    command.add_argument("--out", type=Path, metavar="DIR", help="gets the tables as CSV, and figure.png")
    command.set_defaults(run=_describe)

    command = _command(
        commands,
        "fetch-demo",
        "Download the open eICU demo (no credentials needed) and check its published SHA-256 sums; may be repeated.",
        "fetch-demo --out eicu-demo",
    )
    command.add_argument("--out", type=Path, required=True, metavar="DIR", help="gets the tables")
    command.add_argument("--url", default=DEMO_URL, help=f"the release's folder (default {DEMO_URL})")
    command.set_defaults(run=_fetch_demo)

    command = _command(
        commands,
        "vocabulary",
        "Print the vocabulary file that a release's category names make; no patient's data is in it.",
        'vocabulary --source eicu-demo --name "eICU demo 2.0.1" > vocabulary.json',
    )
    _source(command)
    command.add_argument("--name", required=True, help="what the file says it is from")
    command.set_defaults(run=_vocabulary)
    return parser


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str, example: str
) -> argparse.ArgumentParser:
    return commands.add_parser(
        name,
        help=text,
        description=text,
        epilog=f"Example: python -m fl_app.eicu {example}",
    )


def _source(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--source",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder with eICU tables (CSV, CSV.gz or Parquet), or a DuckDB file",
    )


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


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
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
