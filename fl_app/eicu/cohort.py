"""Who is in the study: the benchmark's rules on the patient table, and how many stays each removes."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from fl_app.eicu.errors import UnreadableTable
from fl_app.eicu.tables import Kind, Table, Tables
from fl_app.eicu.variables import NO_DIAGNOSIS, OTHER_ETHNICITY

COLUMNS = {
    "patientunitstayid": Kind.ID,
    "hospitalid": Kind.ID,
    "uniquepid": Kind.TEXT,
    "age": Kind.TEXT,
    "gender": Kind.TEXT,
    "ethnicity": Kind.TEXT,
    "apacheadmissiondx": Kind.TEXT,
    "admissionheight": Kind.NUMBER,
    "admissionweight": Kind.NUMBER,
    "hospitaldischargestatus": Kind.TEXT,
    "unitdischargestatus": Kind.TEXT,
    "unitdischargeoffset": Kind.MINUTE,
}
GENDERS = ("Female", "Male")
KNOWN_ETHNICITIES = ("African American", "Asian", "Caucasian", "Hispanic", "Native American")


@dataclass(frozen=True, slots=True)
class Step:
    """One rule of the cohort: how many stays it removed, and how many were left."""

    rule: str
    removed: int
    left: int


@dataclass(frozen=True, slots=True)
class Cohort:
    """The stays that the patient table admits, one row each, sorted by patientunitstayid, and how they were chosen."""

    stays: pl.DataFrame
    flow: tuple[Step, ...]


def read_patients(tables: Tables) -> pl.DataFrame:
    """Read the patient table.

    Returns:
        One row per unit stay with :data:`COLUMNS`; ``age`` in whole years, 90 for ``> 89``, null if blank.

    Raises:
        EicuDataError: the table is missing, empty or broken, or a stay has no id, no hospital or stands there twice.
    """
    table = tables.table("patient")
    table.require_rows()
    age = pl.col("age").str.strip_chars().str.replace(r"^> 89$", "90").str.strip_suffix(".0")
    patients = table.collect(table.scan(COLUMNS).with_columns(age.cast(pl.Int32)))
    _check(table, patients)
    return patients


def select_cohort(patients: pl.DataFrame) -> Cohort:
    """Apply the rules that need the patient table alone.

    Age 18 to 89; exactly one stay among those (a stay without ``uniquepid`` is nobody's only stay and is dropped);
    known gender; known outcome. The rule on the number of hourly rows comes later, in :mod:`fl_app.eicu.hourly`.

    Source: Sheikhalishahi et al., PLOS ONE 2020, section "Cohort selection", and the code published with it.
    """
    rules = (
        ("age 18 to 89", pl.col("age").is_between(18, 89)),
        ("one unit stay", pl.col("patientunitstayid").count().over("uniquepid") == 1),
        ("gender known", pl.col("gender").is_in(GENDERS)),
        ("hospital discharge status known", pl.col("hospitaldischargestatus").is_in(["Alive", "Expired"])),
    )
    flow = [Step("unit stays in the patient table", 0, patients.height)]
    stays = patients
    for rule, keep in rules:
        if rule == "one unit stay":
            keep &= pl.col("uniquepid").is_not_null()
        kept = stays.filter(keep)
        flow.append(Step(rule, stays.height - kept.height, kept.height))
        stays = kept
    ethnicity = (
        pl.when(pl.col("ethnicity").is_in(KNOWN_ETHNICITIES)).then("ethnicity").otherwise(pl.lit(OTHER_ETHNICITY))
    )
    stays = stays.with_columns(pl.col("apacheadmissiondx").fill_null(NO_DIAGNOSIS), ethnicity=ethnicity)
    return Cohort(stays.sort("patientunitstayid"), tuple(flow))


def _check(table: Table, patients: pl.DataFrame) -> None:
    for column in ("patientunitstayid", "hospitalid"):
        blank = patients[column].null_count()
        if blank:
            raise UnreadableTable(
                f"{table.where}: {blank} rows have no {column}.",
                remedy="Every unit stay needs its id and its hospital.",
            )
    twice = patients.filter(pl.col("patientunitstayid").is_duplicated())["patientunitstayid"]
    if len(twice):
        raise UnreadableTable(
            f"{table.where}: the stay {twice[0]} stands there more than once ({len(twice)} such rows).",
            remedy="One row per unit stay is allowed; remove the copies.",
        )
