"""The benchmark's twenty variables: where each is charted, what replaces a missing value, and its legal range.

Source: Sheikhalishahi, Balaraman, Osmani, "Benchmarking machine learning models on multi-centre eICU critical care
dataset", PLOS ONE 15(7), 2020, and the code published with it.
"""

from __future__ import annotations

from dataclasses import dataclass

RULES_VERSION = 1
"""Raise it whenever a rule in this package changes what is computed: it is part of every cache key."""

CATEGORICAL = ("apacheadmissiondx", "ethnicity", "gender", "GCS Total", "Eyes", "Motor", "Verbal")
NUMERIC = (
    "admissionheight",
    "admissionweight",
    "age",
    "Heart Rate",
    "MAP (mmHg)",
    "Invasive BP Diastolic",
    "Invasive BP Systolic",
    "O2 Saturation",
    "Respiratory Rate",
    "Temperature (C)",
    "glucose",
    "FiO2",
    "pH",
)
VARIABLES = CATEGORICAL + NUMERIC

NO_DIAGNOSIS = "nodx"
OTHER_ETHNICITY = "Other/Unknown"


@dataclass(frozen=True, slots=True)
class Measured:
    """A variable that is measured or charted during or at the start of the stay.

    Args:
        name: the benchmark's name.
        normal: what replaces a missing value in the benchmark variant.
        low, high: the legal range; values outside are set to its nearer end.
    """

    name: str
    normal: float
    low: float
    high: float


CHARTED = (
    Measured("GCS Total", 15, 2, 16),
    Measured("Eyes", 4, 0, 5),
    Measured("Motor", 6, 0, 6),
    Measured("Verbal", 5, 1, 5),
    Measured("Heart Rate", 86, 0, 350),
    Measured("MAP (mmHg)", 77, 14, 330),
    Measured("Invasive BP Diastolic", 56, 0, 375),
    Measured("Invasive BP Systolic", 118, 0, 375),
    Measured("O2 Saturation", 98, 0, 100),
    Measured("Respiratory Rate", 19, 0, 100),
    Measured("Temperature (C)", 36, 26, 45),
    Measured("glucose", 128, 33, 1200),
    Measured("FiO2", 0.21, 15, 110),
    Measured("pH", 7.4, 6.3, 10),
)
"""The 14 items of the hourly rows; an item's position here is its code in an event."""

AT_ADMISSION = (Measured("admissionheight", 170, 100, 240), Measured("admissionweight", 81, 30, 250))

ITEM = {variable.name: code for code, variable in enumerate(CHARTED)}
OTHER_ITEM = len(CHARTED)
"""Code of a charted row that the benchmark selects but that is none of the 14: its minute still counts."""

LAB_ITEMS = {"bedside glucose": "glucose", "glucose": "glucose", "pH": "pH", "FiO2": "FiO2"}
CHART_LABELS = (
    "Glasgow coma score",
    "Heart Rate",
    "O2 Saturation",
    "Respiratory Rate",
    "MAP (mmHg)",
    "Arterial Line MAP (mmHg)",
)
CHART_NAMES = (
    "Non-Invasive BP Systolic",
    "Invasive BP Systolic",
    "Non-Invasive BP Diastolic",
    "Invasive BP Diastolic",
    "Temperature (C)",
    "Temperature (F)",
)

CLINICAL_RANGES: dict[str, tuple[float, float]] = {
    "admissionheight": (140.0, 200.0),
    "admissionweight": (40.0, 140.0),
    "age": (18.0, 89.0),
    "Heart Rate": (40.0, 140.0),
    "MAP (mmHg)": (40.0, 120.0),
    "Invasive BP Diastolic": (30.0, 100.0),
    "Invasive BP Systolic": (70.0, 180.0),
    "O2 Saturation": (85.0, 100.0),
    "Respiratory Rate": (5.0, 40.0),
    "Temperature (C)": (34.0, 40.0),
    "glucose": (50.0, 300.0),
    "FiO2": (15.0, 100.0),
    "pH": (7.1, 7.6),
}
"""What scales to -1 and 1. Bounds of what is usual in intensive care, not fitted to anybody's data: a site scales alike
whatever it holds. A value outside scales beyond -1 or 1."""
