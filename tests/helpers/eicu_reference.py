"""The published benchmark's preprocessing, written a second time: plain Python, one stay at a time, one step per step.

Slow and simple on purpose, and without any code of the application. It follows the published code's order: select,
unify names, one value per minute and item, shift glucose by one row, drop empty rows, bin to hours, fill by the hour's
mean, keep the hour's last row, impute by constants, keep 15 to 200 rows, clip.

Source: Sheikhalishahi, Balaraman, Osmani, PLOS ONE 15(7), 2020, and the code published with it.
"""

from __future__ import annotations

import csv
import gzip
import math
import sys
from collections import defaultdict
from pathlib import Path

NORMAL = {
    "GCS Total": 15.0, "Eyes": 4.0, "Motor": 6.0, "Verbal": 5.0, "Heart Rate": 86.0, "MAP (mmHg)": 77.0,
    "Invasive BP Diastolic": 56.0, "Invasive BP Systolic": 118.0, "O2 Saturation": 98.0, "Respiratory Rate": 19.0,
    "Temperature (C)": 36.0, "glucose": 128.0, "FiO2": 0.21, "pH": 7.4,
}  # fmt: skip
LIMITS = {
    "Eyes": (0, 5), "GCS Total": (2, 16), "Motor": (0, 6), "Verbal": (1, 5), "Heart Rate": (0, 350),
    "Invasive BP Diastolic": (0, 375), "Invasive BP Systolic": (0, 375), "MAP (mmHg)": (14, 330),
    "admissionheight": (100, 240), "admissionweight": (30, 250), "glucose": (33, 1200), "pH": (6.3, 10),
    "FiO2": (15, 110), "O2 Saturation": (0, 100), "Respiratory Rate": (0, 100), "Temperature (C)": (26, 45),
}  # fmt: skip
LABELS = {
    "Glasgow coma score", "Heart Rate", "O2 Saturation", "Respiratory Rate", "MAP (mmHg)", "Arterial Line MAP (mmHg)",
}  # fmt: skip
NAMES = {
    "Non-Invasive BP Systolic", "Invasive BP Systolic", "Non-Invasive BP Diastolic", "Invasive BP Diastolic",
    "Temperature (C)", "Temperature (F)",
}  # fmt: skip

Event = tuple[int, str, float | None]
"""(minute, item after unification, value)."""


def number(text: str) -> float | None:
    """Return the number a text is, or None."""
    try:
        value = float(text.strip())
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def charted(label: str, name: str, text: str) -> tuple[str, float | None] | None:
    """Return (item, value) of a row of nurseCharting, or None if it is not selected."""
    if label not in LABELS and name not in NAMES:
        return None
    value = number(text)
    if name == "Temperature (F)" and value is not None:
        value = (value - 32) * (5 / 9)
    item = label if name == "Value" else name
    item = {"Non-Invasive BP Systolic": "Invasive BP Systolic"}.get(item, item)
    item = {"Non-Invasive BP Diastolic": "Invasive BP Diastolic"}.get(item, item)
    item = {"Temperature (F)": "Temperature (C)"}.get(item, item)
    if label == "Arterial Line MAP (mmHg)":
        item = "MAP (mmHg)"
    return item, value


def hourly(events: list[Event]) -> dict[int, dict[str, float | None]]:
    """Return a stay's rows before imputation: hour -> item -> value."""
    cells: dict[tuple[int, str], list[float | None]] = defaultdict(list)
    for minute, item, value in events:
        cells[minute, item].append(value)
    minutes = sorted({minute for minute, _ in cells})
    table = [{item: _last(cells.get((minute, item), [])) for item in NORMAL} for minute in minutes]
    glucose = [row["glucose"] for row in table]
    for position, row in enumerate(table):
        row["glucose"] = glucose[position + 1] if position + 1 < len(table) else None
    hours: dict[int, list[dict[str, float | None]]] = defaultdict(list)
    for minute, row in zip(minutes, table, strict=True):
        if any(value is not None for value in row.values()):
            hours[int(minute / 60)].append(row)
    return {hour: _reduce(rows) for hour, rows in sorted(hours.items())}


def finish(row: dict[str, float | None]) -> dict[str, float]:
    """Impute and clip the 14 items of a row."""
    return {item: clip(item, NORMAL[item] if row[item] is None else row[item]) for item in NORMAL}


def clip(item: str, value: float) -> float:
    """Set a value to the nearer end of its range."""
    low, high = LIMITS[item]
    return float(min(max(value, low), high))


def benchmark(folder: Path) -> dict[int, dict[int, dict[str, float | str]]]:
    """Return stay -> hour -> the 20 variables, for the whole cohort of a folder of CSV.gz files."""
    patients = _cohort(_rows(folder / "patient.csv.gz"))
    events: dict[int, list[Event]] = {stay: [] for stay in patients}
    for row in _rows(folder / "nurseCharting.csv.gz"):
        mine = events.get(int(row["patientunitstayid"]))
        if mine is not None:
            found = charted(
                row["nursingchartcelltypevallabel"], row["nursingchartcelltypevalname"], row["nursingchartvalue"]
            )
            if found:
                mine.append((int(row["nursingchartoffset"]), *found))
    for row in _rows(folder / "lab.csv.gz"):
        mine = events.get(int(row["patientunitstayid"]))
        if mine is not None and row["labname"] in ("bedside glucose", "glucose", "pH", "FiO2"):
            item = "glucose" if row["labname"] == "bedside glucose" else row["labname"]
            mine.append((int(row["labresultoffset"]), item, number(row["labresult"])))
    result = {}
    for stay, patient in patients.items():
        rows = hourly(events[stay])
        if 15 <= len(rows) <= 200:
            result[stay] = {hour: {**patient, **finish(row)} for hour, row in rows.items()}
    return result


def _cohort(rows: list[dict[str, str]]) -> dict[int, dict[str, float | str]]:
    adults = [row for row in rows if row["age"] not in ("", "> 89") and 18 <= int(row["age"]) <= 89]
    stays: dict[str, int] = defaultdict(int)
    for row in adults:
        stays[row["uniquepid"]] += 1
    kept = {}
    for row in adults:
        if stays[row["uniquepid"]] != 1 or row["gender"] not in ("Female", "Male"):
            continue
        if row["hospitaldischargestatus"] not in ("Alive", "Expired"):
            continue
        height, weight = number(row["admissionheight"]), number(row["admissionweight"])
        known = ("Asian", "African American", "Caucasian", "Hispanic", "Native American")
        kept[int(row["patientunitstayid"])] = {
            "hospitalid": int(row["hospitalid"]),
            "apacheadmissiondx": row["apacheadmissiondx"] or "nodx",
            "ethnicity": row["ethnicity"] if row["ethnicity"] in known else "Other/Unknown",
            "gender": row["gender"],
            "age": float(row["age"]),
            "admissionheight": clip("admissionheight", 170.0 if height is None else height),
            "admissionweight": clip("admissionweight", 81.0 if weight is None else weight),
        }
    return kept


def _rows(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def _last(values: list[float | None]) -> float | None:
    """Return the last after sorting, missing sorting last."""
    if not values or None in values:
        return None
    return max(value for value in values if value is not None)


def _reduce(rows: list[dict[str, float | None]]) -> dict[str, float | None]:
    """Return the last of an hour's rows, what is missing filled by the mean over the hour."""
    last = dict(rows[-1])
    for item, value in last.items():
        there = [row[item] for row in rows if row[item] is not None]
        if value is None and there:
            last[item] = math.fsum(there) / len(there)
    return last


def sums(folder: Path) -> tuple[int, int, dict[str, float]]:
    """Return (patients, rows, exactly rounded sum of each numeric variable) of a folder."""
    stays = benchmark(folder)
    rows = [row for hours in stays.values() for row in hours.values()]
    numeric = [name for name in rows[0] if isinstance(rows[0][name], float)]
    return len(stays), len(rows), {name: math.fsum(float(row[name]) for row in rows) for name in numeric}


if __name__ == "__main__":
    print(sums(Path(sys.argv[1])))
