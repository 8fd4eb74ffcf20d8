"""What the commands of ``python -m fl_app.eicu`` do. Each returns what it has to say: for people, and for a script."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fl_app.eicu.cohort import read_patients
from fl_app.eicu.deal import deal
from fl_app.eicu.errors import EicuDataError
from fl_app.eicu.federation_file import sites_of
from fl_app.eicu.fetch import fetch_demo
from fl_app.eicu.fitted import FIT_FILE, fit
from fl_app.eicu.options import Options
from fl_app.eicu.prepare import prepare
from fl_app.eicu.survey import Survey, survey
from fl_app.eicu.synthetic import synthesize
from fl_app.eicu.tables import Tables
from fl_app.eicu.tasks import TASKS
from fl_app.eicu.vocabulary import derive


@dataclass(frozen=True, slots=True)
class Said:
    """``text`` for people, ``document`` for ``--json``."""

    text: str
    document: dict[str, Any]


def run_deal(parsed: argparse.Namespace) -> Said:
    """Deal a release to sites."""
    sites, listed = sites_of(parsed.federation) if parsed.federation else (parsed.sites, {})
    shares = deal(
        parsed.source,
        parsed.out,
        sites,
        parsed.seed,
        assigned={**listed, **dict(parsed.assign)},
        test_share=parsed.test_share,
        regions=dict(parsed.region),
    )
    lines, document = [], {}
    for share in shares:
        hospitals, folder = share.hospitals, parsed.out / share.site
        lines.append(
            f"{share.site}: {share.patients.height} stays of {len(hospitals.train)} training and "
            f"{len(hospitals.test)} test hospitals ({hospitals.source}) in {folder}"
        )
        document[share.site] = {
            "stays": share.patients.height,
            "train_hospitals": list(hospitals.train),
            "test_hospitals": list(hospitals.test),
            "source": hospitals.source,
            "folder": str(folder),
        }
    return Said("\n".join(lines), {"sites": document})


def run_synthesize(parsed: argparse.Namespace) -> Said:
    """Write a synthetic release."""
    rows = synthesize(parsed.out, parsed.stays, parsed.seed)
    return Said(
        f"synthetic eICU: {parsed.stays} stays, {rows} nurseCharting rows in {parsed.out}",
        {"source": "synthetic", "stays": parsed.stays, "nurseCharting_rows": rows, "folder": str(parsed.out)},
    )


def run_prepare(parsed: argparse.Namespace) -> Said:
    """Prepare features."""
    prepared = prepare(parsed.source, parsed.out, parsed.variant)
    manifest = prepared.manifest
    return Said(
        f"{'unchanged' if prepared.reused else 'prepared'}: {manifest['stays']} stays, {manifest['rows']} hourly rows "
        f"({manifest['variant']}, {manifest['source']}) in {parsed.out}",
        {"reused": prepared.reused, "folder": str(parsed.out), **manifest},
    )


def run_describe(parsed: argparse.Namespace) -> Said:
    """Describe a release or a dealt one."""
    from fl_app.eicu import describe  # brings matplotlib, which the other commands do without

    description = describe.describe(parsed.source)
    written = [str(path) for path in (describe.write(description, parsed.out) if parsed.out else ())]
    text = "\n".join([describe.as_text(description), *(f"wrote {path}" for path in written)])
    return Said(text, {**describe.as_dict(description), "written": written})


def run_fetch_demo(parsed: argparse.Namespace) -> Said:
    """Download the demo; what it does is told as it happens, to standard error."""
    found = fetch_demo(parsed.out, parsed.url, lambda line: print(line, file=sys.stderr, flush=True))
    return Said(
        f"the eICU demo's {len(found)} files are in {parsed.out}",
        {"folder": str(parsed.out), "files": [path.name for path in found]},
    )


def run_survey(parsed: argparse.Namespace) -> Said:
    """Survey a site's training stays."""
    options = Options.read({"task": parsed.task, "variant": parsed.variant})
    found = survey(parsed.source, parsed.site, options, parsed.minimum_cell)
    _write(parsed.out, found.text())
    names = sum(map(len, found.categories.values()))
    text = (
        f"{found.site}: {found.stays} training stays; {names} names, {len(found.ranges)} ranges and "
        f"{len(found.medians)} medians, each of at least {found.minimum_cell} stays, in {parsed.out}\n"
        f"outcomes: {'withheld' if found.outcomes is None else dict(found.outcomes)}\n"
        "Read the file, then hand it to the coordinator."
    )
    return Said(text, {"file": str(parsed.out), "site": found.site, "stays": found.stays, "outcomes": found.outcomes})


def run_fit(parsed: argparse.Namespace) -> Said:
    """Fit on the sites' surveys."""
    found = fit([Survey.read(path) for path in parsed.surveys])
    _write(parsed.out, found.text())
    digest = hashlib.sha256(found.text().encode()).hexdigest()
    task = TASKS[found.task]
    return Said(
        f"fitted on {found.stays} training stays of {', '.join(found.sites)} for {found.task} ({task.about})\n"
        f"Hand {parsed.out} to every site, as {FIT_FILE} in its data folder, and say in federation.yaml:\n"
        "training:\n  dataset:\n    name: eicu\n    options:\n"
        f"      task: {found.task}\n      variant: {found.variant}\n      fit: {digest}",
        {"file": str(parsed.out), "fit": digest, "sites": list(found.sites), "stays": found.stays},
    )


def run_vocabulary(parsed: argparse.Namespace) -> Said:
    """Derive a vocabulary file."""
    text = derive(read_patients(Tables(parsed.source)), parsed.name)
    return Said(text.rstrip("\n"), json.loads(text))


def _write(path: Path, text: str) -> None:
    """Write a file that is there whole or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text, "utf-8")
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise EicuDataError(f"{path}: cannot be written: {error}.", remedy="Give another --out.") from error
