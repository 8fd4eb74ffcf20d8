"""Raw tables to Parquet feature files, with a manifest of what they were made from; done once per content.

The key of what was prepared is a digest of the input files' contents, the variant, the application's own rules (their
version and the source text of this package) and the version of Polars. It does not look at times or names, so it can
neither miss a changed file nor be fooled by a touched one; and the outputs' own digests are checked before they count.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from importlib.resources import files as resources
from pathlib import Path
from typing import Any

import polars as pl

from fl_app.eicu.errors import EicuDataError, EmptyTable
from fl_app.eicu.features import feature_parts, with_rows
from fl_app.eicu.folder import whole_folder
from fl_app.eicu.source import source_of
from fl_app.eicu.tables import Tables
from fl_app.eicu.variables import RULES_VERSION

MANIFEST = "manifest.json"
HOURLY = "hourly.parquet"
STAYS = "stays.parquet"
INPUTS = ("patient", "nurseCharting", "lab")


@dataclass(frozen=True, slots=True)
class Prepared:
    """What ``prepare`` leaves: the manifest, and whether it was there already."""

    manifest: Mapping[str, Any]
    reused: bool


def prepare(source: Path, out: Path, variant: str = "benchmark") -> Prepared:
    """Write ``hourly.parquet``, ``stays.parquet`` and ``manifest.json``, unless they are there for this very content.

    ``hourly.parquet`` is (patientunitstayid, hour, hospitalid, the 20 variables under the benchmark's names, the
    variant's indicators): complete, in range, before one-hot and scaling, all hours of every stay of the cohort.
    ``stays.parquet`` is those stays' rows of the patient table.

    Args:
        source: a folder of CSV, CSV.gz or Parquet files.
        out: where to; must be new, empty, or an earlier preparation's. It changes as a whole.
        variant: a key of :data:`fl_app.eicu.features.VARIANTS`.

    Raises:
        EicuDataError: the source cannot be used, or ``out`` cannot be written.
    """
    tables = Tables(source)
    files = tables.files(INPUTS)
    inputs = {path.name: digest_of(path) for path in files}
    about = {
        "variant": variant,
        "rules": RULES_VERSION,
        "code": code_digest(),
        "polars": pl.__version__,
        "inputs": inputs,
    }
    key = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
    found = _valid(out, key)
    if found is not None:
        return Prepared(found, reused=True)
    with whole_folder(out, made_by=MANIFEST) as folder:
        cohort, parts = feature_parts(tables, variant, scratch=folder)
        stays = _write_parts(parts, folder)
        cohort = with_rows(tables, cohort, stays)
        cohort.stays.write_parquet(folder / STAYS)
        _require_unchanged(files, inputs)
        manifest = {
            "key": key,
            "source": source_of(source),
            **about,
            "stays": cohort.stays.height,
            "rows": pl.scan_parquet(folder / HOURLY).select(pl.len()).collect().item(),
            "cohort": [asdict(step) for step in cohort.flow],
            "outputs": {name: digest_of(folder / name) for name in (HOURLY, STAYS)},
        }
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", "utf-8")
    return Prepared(manifest, reused=False)


def _require_unchanged(files: Iterable[Path], inputs: Mapping[str, str]) -> None:
    """Refuse to call features by the content of files that were written to while they were read."""
    for path in files:
        if digest_of(path) != inputs[path.name]:
            raise EicuDataError(
                f"{path}: was changed while it was read.", remedy="Wait until it is written, then run this again."
            )


def digest_of(path: Path) -> str:
    """Return a file's SHA-256 sum."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def code_digest() -> str:
    """Return a digest of this package's own text, so that a changed rule is a changed key though nobody said so."""
    digest = hashlib.sha256()
    for module in sorted(resources("fl_app.eicu").iterdir(), key=lambda entry: entry.name):
        if module.name.endswith((".py", ".json")):
            digest.update(module.name.encode() + b"\0" + module.read_bytes())
    return digest.hexdigest()


def _write_parts(parts: Iterable[pl.DataFrame], folder: Path) -> pl.Series:
    """Write the parts one by one and join them on disk; return the stays that have rows."""
    stays: list[pl.Series] = []
    names: list[Path] = []
    for number, part in enumerate(parts):
        names.append(folder / f"part-{number:06}.parquet")
        part.write_parquet(names[-1])
        stays.append(part["patientunitstayid"].unique())
    if not names:
        raise EmptyTable("no events at all.", remedy="Are nurseCharting and lab of the same release as patient?")
    if len(names) == 1:
        names[0].rename(folder / HOURLY)
    else:
        pl.scan_parquet(names).sink_parquet(folder / HOURLY)
        for name in names:
            name.unlink()
    return pl.concat(stays)


def _valid(out: Path, key: str) -> dict[str, Any] | None:
    """Return the manifest if it is for this key and the outputs are what it says, else None."""
    try:
        manifest: dict[str, Any] = json.loads((out / MANIFEST).read_text("utf-8"))
        right = manifest["key"] == key and all(
            digest_of(out / name) == digest for name, digest in manifest["outputs"].items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return manifest if right else None
