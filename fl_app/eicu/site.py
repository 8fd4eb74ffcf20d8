"""A site's own folder: its tables, and which of its hospitals train and which test."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from fl_app.eicu.cohort import read_patients
from fl_app.eicu.encode import Encoded, encode
from fl_app.eicu.errors import EmptyTable, OneClassOnly
from fl_app.eicu.features import VARIANTS, hourly_features
from fl_app.eicu.hospitals import HOSPITALS_FILE, SiteHospitals
from fl_app.eicu.options import Options
from fl_app.eicu.partition import assert_disjoint
from fl_app.eicu.tables import Tables
from fl_app.eicu.tasks import TASKS
from fl_app.eicu.variables import CLINICAL_RANGES


@dataclass(frozen=True, slots=True)
class SiteData:
    """A site's stays as tensors, held-out hospitals apart."""

    train: Encoded
    test: Encoded
    source: str


def load_site(folder: Path, site: str, options: Options) -> SiteData:
    """Read a site's tables and encode its samples.

    A site whose test samples all have one outcome is allowed: its AUROC is undefined and reported as such.

    Raises:
        EicuDataError: a table is missing or broken.
        UnusableSplit: training and test share a hospital or a patient.
        EmptyTable: no sample is left to train on or to test with.
        OneClassOnly: all training samples have the same outcome.
    """
    hospitals = SiteHospitals.read(folder, site)
    _assert_apart(Tables(folder), hospitals, site)
    encoded = encode_folder(folder, options)
    train, test = encoded.of_hospitals(list(hospitals.train)), encoded.of_hospitals(list(hospitals.test))
    for part, name in ((train, "train"), (test, "test")):
        if not len(part):
            raise EmptyTable(
                f"{site}: none of the {name} hospitals has a stay for the task {options.task}.",
                remedy=f"Move a hospital with such stays to {name!r} in {folder / HOSPITALS_FILE}.",
            )
    if bool((train.labels == train.labels[0]).all()):
        raise OneClassOnly(
            f"{site}: all {len(train)} training stays have the label {_plain(train)}.",
            remedy="Give the site more hospitals, or deal again with another seed: one outcome alone teaches nothing.",
        )
    return SiteData(train, test, hospitals.source)


def encode_folder(folder: Path, options: Options) -> Encoded:
    """Read a folder's tables and encode every sample of the task."""
    task, variant, tables = TASKS[options.task], VARIANTS[options.variant], Tables(folder)
    for name in task.tables:
        tables.table(name).require_rows()  # before the long work, not after it
    features = hourly_features(tables, options.variant)
    samples = task.samples(features.rows, features.cohort.stays, tables)
    return encode(
        samples.rows,
        samples.labels,
        ranges=CLINICAL_RANGES | {name: (low, high) for name, low, high in options.ranges},
        layout=replace(variant.layout, hours=task.hours),
        indicators=variant.indicators,
        key="sample",
    )


def _assert_apart(tables: Tables, hospitals: SiteHospitals, site: str) -> None:
    """Refuse a split that puts a hospital or a patient on both sides, whoever wrote it."""
    patients = read_patients(tables)
    assert_disjoint(
        {
            f"{site} train": patients.filter(pl.col("hospitalid").is_in(hospitals.train)),
            f"{site} test": patients.filter(pl.col("hospitalid").is_in(hospitals.test)),
        }
    )


def _plain(part: Encoded) -> str:
    first = part.labels[0].tolist()
    return f"{first:g}" if not isinstance(first, list) else "of no condition or the same ones"
