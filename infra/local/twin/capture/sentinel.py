"""Sentinels in a hospital's raw eICU tables: one stay's identifiers, words and readings become unlike anybody else's.

The stay is one that the study admits and a training hospital treated, so that what is planted is read, reduced and
trained on.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import random
import string
import struct
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from infra.errors import FederateError
from infra.local.twin.capture.encodings import Identifier, Reading, Sentinel, Text

_STAY, _PATIENT = "patientunitstayid", "uniquepid"
#: From two days, which the mortality task asks for, to what leaves a margin to the study's 200 hourly rows.
_MINUTES = range(2 * 1440, 6 * 1440)
_LETTERS = string.ascii_uppercase + string.digits
_IN_A_ROW = 6

Row = dict[str, str]


class NowhereToPlant(FederateError):
    """A hospital's tables have no stay that is sure to be used."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Planted:
    """What stands in a hospital's tables now, and nowhere else.

    Args:
        stay: the stay's new number.
        patient: its patient.
        diagnosis: what it was admitted with.
        heart_rate: every charted heart rate of it, per minute.
        glucose: every measured glucose of it, mg/dL.
        rows: how many rows were changed, by table.
    """

    stay: Identifier
    patient: Text
    diagnosis: Text
    heart_rate: Reading
    glucose: Reading
    rows: dict[str, int]

    @property
    def sentinels(self) -> tuple[Sentinel, ...]:
        """What to search for."""
        return (self.stay, self.patient, self.diagnosis, self.heart_rate, self.glucose)


def plant(folder: Path, hospital: str) -> Planted:
    """Change one stay of a site's folder; the same folder and name give the same sentinels.

    Args:
        folder: the site's own tables as CSV.gz, with ``hospitals.json``; it is changed.
        hospital: the site's name, of which the sentinels are made.

    Raises:
        NowhereToPlant: no stay is sure to be in the study.
    """
    draw = random.Random(hashlib.sha256(hospital.encode()).digest())  # noqa: S311 - to be the same again, not secret
    mark = "".join(draw.choices(_LETTERS, k=12))
    old = _eligible(folder, hospital)
    stay = Identifier(f"{hospital}: stay", _number(draw))
    person = Text(f"{hospital}: patient", f"canary-{mark}")
    diagnosis = Text(f"{hospital}: diagnosis", f"Sentinel of the canary {mark[::-1]}")
    heart_rate = Reading(f"{hospital}: heart rate", _reading(draw, 101, 139), _IN_A_ROW)
    glucose = Reading(f"{hospital}: glucose", _reading(draw, 201, 299), _IN_A_ROW)

    def patient(row: Row) -> None:
        row[_PATIENT], row["apacheadmissiondx"] = person.text, diagnosis.text

    def charting(row: Row) -> None:
        if row["nursingchartcelltypevallabel"] == "Heart Rate":
            row["nursingchartvalue"] = repr(heart_rate.value)

    def lab(row: Row) -> None:
        if row["labname"] in ("glucose", "bedside glucose"):
            row["labresult"] = row["labresulttext"] = repr(glucose.value)

    changes = {"patient": patient, "nurseCharting": charting, "lab": lab}
    rows: dict[str, int] = {}
    for path in sorted(folder.glob("*.csv.gz")):
        name = path.name.removesuffix(".csv.gz")
        rows[name] = _rewrite(path, old, str(stay.number), changes.get(name, lambda _: None))
    changed = {name: number for name, number in rows.items() if number}
    return Planted(stay, person, diagnosis, heart_rate, glucose, changed)


def _eligible(folder: Path, hospital: str) -> str:
    """Return the stay to change: in the study by the patient table, with charts that are to be changed."""
    training = {str(number) for number in json.loads((folder / "hospitals.json").read_text("utf-8"))["train"]}
    patients = _read(folder / "patient.csv.gz")
    visits = Counter(row[_PATIENT] for row in patients)
    fit = {
        row[_STAY]
        for row in patients
        if row["hospitalid"] in training
        and row["age"].isdigit()
        and 18 <= int(row["age"]) <= 89
        and row["gender"] in ("Female", "Male")
        and row["hospitaldischargestatus"] in ("Alive", "Expired")
        and int(row["unitdischargeoffset"] or 0) in _MINUTES
        and visits[row[_PATIENT]] == 1
    }
    charted = Counter(
        row[_STAY]
        for row in _read(folder / "nurseCharting.csv.gz")
        if row[_STAY] in fit and row["nursingchartcelltypevallabel"] == "Heart Rate"
    )
    measured = Counter(row[_STAY] for row in _read(folder / "lab.csv.gz") if row["labname"].endswith("glucose"))
    sure = [stay for stay in charted if charted[stay] >= 4 * _IN_A_ROW and measured[stay] >= 2]
    if not sure:
        raise NowhereToPlant(
            f"{folder}: {hospital} has no stay of the study with enough heart rates and glucoses.",
            remedy="Take more stays: 300 synthetic ones for two hospitals are enough.",
        )
    return min(sure, key=int)


def _rewrite(path: Path, old: str, new: str, change: Callable[[Row], None]) -> int:
    rows = _read(path)
    if not rows or _STAY not in rows[0]:
        return 0
    mine = [row for row in rows if row[_STAY] == old]
    for row in mine:
        row[_STAY] = new
        change(row)
    if mine:
        with gzip.open(path, "wt", compresslevel=1, encoding="utf-8", newline="") as file:
            written = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            written.writeheader()
            written.writerows(rows)
    return len(mine)


def _read(path: Path) -> list[Row]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _number(draw: random.Random) -> int:
    while True:
        number = draw.randrange(10**9, 2**31)
        if 0 not in struct.pack("<i", number):
            return number


def _reading(draw: random.Random, low: int, high: int) -> float:
    while True:
        value = round(draw.uniform(low, high), 5)
        if 0 not in struct.pack("<f", value) and len(repr(value)) == len("123.45678"):
            return value
