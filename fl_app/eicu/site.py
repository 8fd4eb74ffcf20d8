"""A site's own folder: its tables, and which of its hospitals train and which test."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fl_app.eicu.encode import Encoded, encode
from fl_app.eicu.errors import EmptyTable, OneClassOnly
from fl_app.eicu.features import VARIANTS, hourly_features
from fl_app.eicu.hospitals import HOSPITALS_FILE, SiteHospitals
from fl_app.eicu.options import Options
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
    """Read a site's tables and encode its stays.

    A site whose test stays all have one outcome is allowed: its AUROC is undefined and reported as such.

    Raises:
        EicuDataError: a table is missing or broken.
        EmptyTable: no stay is left to train on or to test with.
        OneClassOnly: all training stays have the same outcome.
    """
    hospitals = SiteHospitals.read(folder, site)
    encoded = encode_folder(folder, options)
    train, test = encoded.of_hospitals(list(hospitals.train)), encoded.of_hospitals(list(hospitals.test))
    for part, name in ((train, "train"), (test, "test")):
        if not len(part):
            raise EmptyTable(
                f"{site}: none of the {name} hospitals has a stay for the task {options.task}.",
                remedy=f"Move a hospital with such stays to {name!r} in {folder / HOSPITALS_FILE}.",
            )
    positive = int(train.labels.sum())
    if positive in (0, len(train)):
        raise OneClassOnly(
            f"{site}: all {len(train)} training stays have the label {int(positive > 0)}.",
            remedy="Give the site more hospitals, or deal again with another seed: one outcome alone teaches nothing.",
        )
    return SiteData(train, test, hospitals.source)


def encode_folder(folder: Path, options: Options) -> Encoded:
    """Read a folder's tables and encode every stay of the task."""
    task = TASKS[options.task]
    features = hourly_features(Tables(folder), options.variant)
    stays = features.cohort.stays.filter(task.admits())
    labels = stays.select("patientunitstayid", label=task.label())
    rows = features.rows.filter(task.uses()).join(labels, on="patientunitstayid", how="semi", maintain_order="left")
    ranges = CLINICAL_RANGES | {name: (low, high) for name, low, high in options.ranges}
    variant = VARIANTS[options.variant]
    return encode(rows, labels, ranges=ranges, layout=variant.layout, indicators=variant.indicators)
