"""What a run left behind, brought to the operator: from the aggregator's bucket, compared and reported on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from infra.accounts import explained
from infra.errors import FederateError
from infra.federation.model import Federation
from infra.federation.run_config import run_files
from infra.nodes.remote import Remote
from node_bootstrap import contract

MODEL = "model.safetensors"
REPORT = "report.html"


class NoResults(FederateError):
    """There is nothing to bring, or it cannot be made into a report."""

    exit_code = 6


@dataclass(frozen=True, slots=True)
class Brought:
    """A run's results on the operator's side; ``table`` is the comparison as text, empty where there is none."""

    folder: Path
    report: Path
    table: str


def bring(aggregator: Remote, federation: Federation, *, home: Path) -> Path:
    """Download the results of the aggregator's last run.

    Returns:
        The folder: ``results/<federation>/<run>`` in the toolkit's home.

    Raises:
        NoResults: there are none.
    """
    run = aggregator.report().run
    if run and not contract.is_run_name(run):
        raise NoResults(
            f"{aggregator.where} published {run[:80]!r} as the name of its run, which is none.",
            remedy="Nothing was written here. Whoever changed that parameter can change it back.",
        )
    prefix = aggregator.key(f"{contract.RESULTS_PREFIX}{run}/")
    folder = home / "results" / federation.name / run
    found = False
    with explained(aggregator.where):
        s3 = aggregator.client("s3")
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=aggregator.bucket, Prefix=prefix)
        for key in [item["Key"] for page in pages for item in page.get("Contents", []) if run]:
            path = folder / key.removeprefix(prefix)
            if not key.endswith("/") and path.resolve().is_relative_to(folder.resolve()):
                path.parent.mkdir(parents=True, exist_ok=True)
                s3.download_file(aggregator.bucket, key, str(path))
                found = True
    if not found:
        raise NoResults(
            f"The aggregator's bucket has no results of {f'the run {run}' if run else 'a run'} yet.",
            remedy="They are there when training ends or is stopped: federate status shows how far it is.",
        )
    return folder


def report(folder: Path, federation: Federation, data: Mapping[str, Path] | None) -> Brought:
    """Write the report of a results folder, with the comparison if all sites' data may be held together here.

    Args:
        folder: the results.
        federation: whose they are.
        data: each site's folder on this machine; None where they are not here, as in a real federation.

    Raises:
        NoResults: with what the application says.
    """
    table = ""
    sources = sources_of(data or {})
    if sources:
        _note_sources(folder, sources)
    if data is not None and (folder / MODEL).exists():
        table = _compare(folder, federation, data)
        table = "\n".join([*(f"Data: {source}" for source in dict.fromkeys(sources.values())), table])
    _run(["fl_app.tracking", "report", "--results", str(folder)])
    return Brought(folder, folder / REPORT, table)


def sources_of(data: Mapping[str, Path]) -> dict[str, str]:
    """Return what the sites' folders say their data is, such as ``synthetic``, by site; those that say nothing not."""
    found = {}
    for site, folder in data.items():
        try:
            found[site] = str(json.loads((folder / "hospitals.json").read_text("utf-8"))["source"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return found


def _note_sources(folder: Path, sources: Mapping[str, str]) -> None:
    """Write into model and summary what the model was made from: the aggregator does not know it."""
    for name in ("model.json", "summary.json"):
        path = folder / name
        if path.exists():
            told = {**json.loads(path.read_text("utf-8")), "data": dict(sources)}
            path.write_text(json.dumps(told, indent=2) + "\n", "utf-8")


def _compare(folder: Path, federation: Federation, data: Mapping[str, Path]) -> str:
    from infra.federation.derive import nodes

    hub = nodes(federation)[0]
    config = folder / "config"
    config.mkdir(exist_ok=True)
    for name, text in run_files(federation, hub).items():
        (config / name).write_text(text, "utf-8")
    together = folder / ".sites"
    together.mkdir(exist_ok=True)
    for site, path in data.items():
        link = together / site
        link.unlink(missing_ok=True)
        link.symlink_to(path.absolute())
    try:
        options = {"data": together, "config": config, "model": folder / MODEL, "output": folder}
        return _run(["fl_app.compare", *(part for name, path in options.items() for part in (f"--{name}", str(path)))])
    finally:
        for link in together.iterdir():
            link.unlink()
        together.rmdir()


def _run(arguments: list[str]) -> str:
    """Run a module of the application's; the operator's side never imports it."""
    done = subprocess.run(  # noqa: S603 - our own module
        [sys.executable, "-m", *arguments], capture_output=True, text=True, check=False, env=dict(os.environ)
    )
    if done.returncode != 0:
        said = done.stderr.strip()
        raise NoResults(said.splitlines()[-1] if "Traceback" in said else said)
    return done.stdout.strip()
