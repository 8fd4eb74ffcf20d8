"""Hospitals that differ, and stays whose outcome depends on how ill the patient is.

Each stay has a severity, about standard normal, that nothing in the tables states: it moves the vital signs, the
scores, the length of stay and the odds of dying. What a model can learn is that.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from fl_app.eicu.vocabulary import Names, fixed_vocabulary

MOST_HOSPITALS = 208
STAYS_PER_HOSPITAL = 12
MEAN_LOG_HOURS, SD_LOG_HOURS = 3.75, 0.75
LONGEST_HOURS = 600


@dataclass(frozen=True, slots=True)
class Hospitals:
    """What differs between hospitals; one entry per hospital in every array.

    ``weight``: share of the stays. ``severity``: case mix. ``mortality``: log-odds beyond case mix. ``heart_rate``:
    offset of the monitors, per minute. ``fahrenheit``: charts temperature so. ``arterial``: share of stays with an
    arterial line. ``density``: how completely an hour is charted.
    """

    ids: np.ndarray
    weight: np.ndarray
    severity: np.ndarray
    mortality: np.ndarray
    heart_rate: np.ndarray
    fahrenheit: np.ndarray
    arterial: np.ndarray
    density: np.ndarray
    table: pl.DataFrame


@dataclass(frozen=True, slots=True)
class Stays:
    """A chunk of stays: the patient table's rows, and what only the simulation knows; one entry per stay."""

    table: pl.DataFrame
    ids: np.ndarray
    hospital: np.ndarray
    severity: np.ndarray
    hours: np.ndarray
    expired: np.ndarray
    risk: np.ndarray


def hospitals(stays: int, rng: np.random.Generator) -> Hospitals:
    """Make the hospitals of a release of so many stays: about one per twelve stays, 8 to 208."""
    number = min(MOST_HOSPITALS, max(8, stays // STAYS_PER_HOSPITAL))
    ids = np.sort(rng.choice(np.arange(50, 500), number, replace=False))
    weight = rng.gamma(4.0, size=number)
    table = pl.DataFrame(
        {
            "hospitalid": ids,
            "numbedscategory": rng.choice(["<100", "100 - 249", "250 - 499", ">= 500", ""], number),
            "teachingstatus": rng.choice(["f", "t"], number, p=[0.9, 0.1]),
            "region": rng.choice(["Midwest", "South", "West", "Northeast"], number, p=[0.35, 0.3, 0.25, 0.1]),
        }
    )
    return Hospitals(
        ids,
        weight / weight.sum(),
        rng.normal(0, 0.3, number),
        rng.normal(0, 0.25, number),
        rng.normal(0, 3, number),
        rng.random(number) < 0.3,
        rng.uniform(0.05, 0.4, number),
        rng.uniform(0.7, 1.0, number),
        table,
    )


def stays(first: int, number: int, places: Hospitals, rng: np.random.Generator) -> Stays:
    """Make stays number ``first`` to ``first + number - 1`` of a release."""
    hospital = rng.choice(len(places.ids), number, p=places.weight)
    hospital, patient = _patients(hospital, rng)
    severity = places.severity[hospital] + rng.normal(0, 1, number)
    age = np.clip(rng.normal(64, 16, number), 15, 96).round().astype(int)[patient]
    log_odds = -3.6 + 1.25 * severity + 0.03 * (age - 64) + places.mortality[hospital]
    risk = 1 / (1 + np.exp(-log_odds))
    expired = rng.random(number) < risk
    log_hours = MEAN_LOG_HOURS + SD_LOG_HOURS * rng.normal(0, 1, number) + 0.2 * severity
    hours = np.clip(np.exp(log_hours), 2, LONGEST_HOURS)
    ids = 140_000 + 3 * np.arange(first, first + number)
    return Stays(
        _patient_table(first, ids, hospital, patient, age, hours, expired, places, rng),
        ids,
        hospital,
        severity,
        hours,
        expired,
        risk,
    )


def _patients(hospital: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Let a quarter of the stays be a further stay of the patient before them, at that patient's hospital.

    Returns:
        Each stay's hospital, and the number of the stay that is its patient's first.
    """
    number = len(hospital)
    again = rng.random(number) < 0.25
    again[:1] = False
    patient = np.maximum.accumulate(np.where(again, 0, np.arange(number)))
    return hospital[patient], patient


def _patient_table(
    first: int,
    ids: np.ndarray,
    hospital: np.ndarray,
    patient: np.ndarray,
    age: np.ndarray,
    hours: np.ndarray,
    expired: np.ndarray,
    places: Hospitals,
    rng: np.random.Generator,
) -> pl.DataFrame:
    """Write the 29 columns with the release's quirks: ages above 89, blanks, text numbers, negative offsets."""
    number = len(ids)
    female = (rng.random(number) < 0.43)[patient]
    gender = np.where(female, "Female", "Male").astype(object)
    gender[(rng.random(number) < 0.002)] = "Unknown"
    status = np.where(expired, "Expired", "Alive").astype(object)
    status[rng.random(number) < 0.01] = ""
    in_unit = expired & (rng.random(number) < 0.6)
    minutes = (hours * 60).astype(int)
    admit = -np.abs(rng.normal(0, 900, number)).astype(int) - 5
    leave = minutes + np.where(in_unit, 0, np.abs(rng.normal(0, 4000, number))).astype(int)
    height = np.where(female, rng.normal(162, 8, number), rng.normal(176, 8, number))
    weight = rng.gamma(14, 6, number)
    clock = _clock(rng.integers(0, 1440, number))
    visit = np.arange(number) - patient + 1
    ages = np.where(age > 89, "> 89", age.astype(str)).astype(object)
    ages[rng.random(number) < 0.003] = ""
    return pl.DataFrame(
        {
            "patientunitstayid": ids,
            "patienthealthsystemstayid": 120_000 + first + patient,
            "gender": pl.Series(gender, dtype=pl.String),
            "age": pl.Series(ages, dtype=pl.String),
            "ethnicity": rng.choice(
                ["Caucasian", "African American", "Hispanic", "Other/Unknown", "", "Asian", "Native American"],
                number,
                p=[0.78, 0.1, 0.04, 0.04, 0.015, 0.015, 0.01],
            )[patient],
            "hospitalid": places.ids[hospital],
            "wardid": 90 + places.ids[hospital] % 700,
            "apacheadmissiondx": _diagnoses(number, rng),
            "admissionheight": pl.Series(_two_decimals(height, rng, 0.02)),
            "hospitaladmittime24": clock,
            "hospitaladmitoffset": admit,
            "hospitaladmitsource": rng.choice(["Emergency Department", "", "Floor", "Operating Room"], number),
            "hospitaldischargeyear": rng.choice(["2014", "2015"], number),
            "hospitaldischargetime24": clock,
            "hospitaldischargeoffset": leave,
            "hospitaldischargelocation": np.where(expired, "Death", "Home"),
            "hospitaldischargestatus": pl.Series(status, dtype=pl.String),
            "unittype": rng.choice(["Med-Surg ICU", "MICU", "SICU", "Cardiac ICU"], number, p=[0.7, 0.1, 0.1, 0.1]),
            "unitadmittime24": clock,
            "unitadmitsource": rng.choice(["Emergency Department", "Floor", "Operating Room"], number),
            "unitvisitnumber": visit,
            "unitstaytype": np.where(visit == 1, "admit", "readmit"),
            "admissionweight": pl.Series(_two_decimals(weight, rng, 0.04)),
            "dischargeweight": pl.Series(_two_decimals(weight + rng.normal(0, 2, number), rng, 0.4)),
            "unitdischargetime24": clock,
            "unitdischargeoffset": minutes,
            "unitdischargelocation": np.where(in_unit, "Death", "Floor"),
            "unitdischargestatus": np.where(in_unit, "Expired", "Alive"),
            "uniquepid": pl.Series(
                [f"{places.ids[place]:03}-{first + who}" for place, who in zip(hospital, patient, strict=True)]
            ),
        }
    )


def _diagnoses(number: int, rng: np.random.Generator) -> np.ndarray:
    field = fixed_vocabulary().fields[0]
    names = np.array(("", *field.known[1:]) if isinstance(field, Names) else ("",))
    weight = 1 / np.arange(2, len(names) + 2)
    return rng.choice(names, number, p=weight / weight.sum())


def _two_decimals(values: np.ndarray, rng: np.random.Generator, blank: float) -> list[str]:
    there = rng.random(len(values)) >= blank
    return [f"{value:.2f}" if known else "" for value, known in zip(values, there, strict=True)]


def _clock(minutes: np.ndarray) -> list[str]:
    return [f"{minute // 60:02}:{minute % 60:02}:00" for minute in minutes]
