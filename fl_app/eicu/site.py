"""A site's own folder: its tables, and which of its hospitals train and which test."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl
import torch
from torch import Tensor

from fl_app.eicu.cohort import read_patients
from fl_app.eicu.encode import Encoded, encode
from fl_app.eicu.errors import EmptyTable, OneClassOnly
from fl_app.eicu.features import VARIANTS, hourly_features
from fl_app.eicu.fitted import Fitted
from fl_app.eicu.hospitals import HOSPITALS_FILE, SiteHospitals
from fl_app.eicu.options import Options
from fl_app.eicu.partition import assert_disjoint
from fl_app.eicu.tables import Tables
from fl_app.eicu.tasks import TASKS
from fl_app.eicu.variables import CLINICAL_RANGES


@dataclass(frozen=True, slots=True)
class SiteData:
    """A site's samples as tensors, held-out hospitals apart.

    ``class_counts``: int64 ``[classes]``, training samples per class over all sites, if they have reported them.
    """

    train: Encoded
    test: Encoded
    source: str
    class_counts: Tensor | None = None


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
    fitted = _fitted(folder, options)
    encoded = encode_folder(folder, options, fitted)
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
    counts = torch.tensor(list(fitted.outcomes.values())) if fitted and fitted.outcomes else None
    return SiteData(train, test, hospitals.source, counts)


def encode_folder(folder: Path, options: Options, fitted: Fitted | None = None) -> Encoded:
    """Read a folder's tables and encode every sample of the task.

    Args:
        folder: the tables.
        options: what is trained; where ``ranges`` say something they win.
        fitted: categories, ranges and medians; the fixed ones if left out.
    """
    task, variant, tables = TASKS[options.task], VARIANTS[options.variant], Tables(folder)
    for name in task.tables:
        tables.table(name).require_rows()  # before the long work, not after it
    features = hourly_features(tables, options.variant, medians=fitted.medians if fitted else {})
    samples = task.samples(features.rows, features.cohort.stays, tables)
    return encode(
        samples.rows,
        samples.labels,
        ranges=(fitted.ranges if fitted else CLINICAL_RANGES)
        | {name: (low, high) for name, low, high in options.ranges},
        vocabulary=fitted.vocabulary() if fitted else None,
        layout=replace(variant.layout, hours=task.hours),
        indicators=variant.indicators,
        key="sample",
    )


def _fitted(folder: Path, options: Options) -> Fitted | None:
    if options.fit is None:
        return None
    return Fitted.read(folder, options.fit, task=options.task, variant=options.variant)


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
