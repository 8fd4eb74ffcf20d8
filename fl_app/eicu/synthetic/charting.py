"""What nurses chart and the laboratory measures, hour by hour, of synthetic stays."""

from __future__ import annotations

import numpy as np
import polars as pl

from fl_app.eicu.synthetic.population import Hospitals, Stays

_VITALS, _OTHER, _SCORES = "Vital Signs", "Other Vital Signs and Infusions", "Scores"


class _Hours:
    """Every charted hour of a chunk of stays: the stay it belongs to, and the minute at which its round was made."""

    def __init__(self, stays: Stays, places: Hospitals, rng: np.random.Generator) -> None:
        self.rng = rng
        before = rng.integers(0, 3, len(stays.ids))
        length = np.minimum(stays.hours, 200).astype(int) + 1 + before
        self.stay = np.repeat(np.arange(len(stays.ids)), length)
        start = np.cumsum(length) - length
        self.hour = np.arange(len(self.stay)) - start[self.stay] - before[self.stay]
        self.minute = self.hour * 60 + rng.integers(0, 60, len(self.stay))
        hospital = stays.hospital[self.stay]
        drift = stays.expired[self.stay] * np.clip(self.hour / np.maximum(1, stays.hours[self.stay]), 0, 1)
        self.severity = stays.severity[self.stay] + 0.5 * drift + rng.normal(0, 0.5, len(self.stay))
        self.charted = rng.random(len(self.stay)) < places.density[hospital]
        self.heart_rate = places.heart_rate[hospital]
        self.fahrenheit = places.fahrenheit[hospital]
        arterial = rng.random(len(stays.ids)) < places.arterial[stays.hospital]
        self.arterial = arterial[self.stay]

    def some(self, share: float) -> np.ndarray:
        """Pick a share of the charted hours."""
        picked: np.ndarray = self.charted & (self.rng.random(len(self.stay)) < share)
        return picked

    def around(self, level: float, slope: float, spread: float) -> np.ndarray:
        """Return a value per hour that moves with severity."""
        values: np.ndarray = level + slope * self.severity + self.rng.normal(0, spread, len(self.stay))
        return values


def charting(stays: Stays, places: Hospitals, first_id: int, rng: np.random.Generator) -> pl.DataFrame:
    """Return nurseCharting rows of a chunk of stays, grouped by item and not by time, as a release may have them.

    Quirks: values as text, some of them no number or blank; Fahrenheit at some hospitals; arterial lines charted
    under another label; a few rows twice in a minute with another value; minutes before admission.
    """
    hours = _Hours(stays, places, rng)
    systolic = hours.around(122, -9, 10).clip(40, 250)
    diastolic = hours.around(64, -5, 7).clip(20, 150).clip(max=systolic - 5)
    mean = (systolic + 2 * diastolic) / 3
    celsius = hours.around(36.9, 0.15, 0.35)
    eyes = np.clip(np.round(4.2 - 0.7 * np.maximum(0, hours.severity)), 1, 4)
    motor = np.clip(np.round(6.2 - 0.8 * np.maximum(0, hours.severity)), 1, 6)
    verbal = np.clip(np.round(5.2 - 1.0 * np.maximum(0, hours.severity)), 1, 5)
    cuff, every, line = hours.some(0.8) & ~hours.arterial, hours.some(0.95), hours.some(0.9) & hours.arterial
    quarter = hours.some(0.25)
    pieces = [
        _piece(hours, every, _VITALS, "Heart Rate", "Heart Rate", hours.around(84, 8, 6) + hours.heart_rate),
        _piece(hours, every, _VITALS, "Respiratory Rate", "Respiratory Rate", hours.around(19, 2.2, 3).clip(4, 60)),
        _piece(hours, every, _VITALS, "O2 Saturation", "O2 Saturation", hours.around(97, -1.2, 1.5).clip(60, 100)),
        _piece(hours, cuff, _VITALS, "Non-Invasive BP", "Non-Invasive BP Systolic", systolic),
        _piece(hours, cuff, _VITALS, "Non-Invasive BP", "Non-Invasive BP Diastolic", diastolic),
        _piece(hours, cuff, _VITALS, "Non-Invasive BP", "Non-Invasive BP Mean", mean),
        _piece(hours, line, _VITALS, "Invasive BP", "Invasive BP Systolic", systolic),
        _piece(hours, line, _VITALS, "Invasive BP", "Invasive BP Diastolic", diastolic),
        _piece(hours, line, _OTHER, "Arterial Line MAP (mmHg)", "Value", mean),
        _piece(hours, hours.some(0.6) & ~hours.arterial, _OTHER, "MAP (mmHg)", "Value", mean),
        _piece(hours, quarter & ~hours.fahrenheit, _VITALS, "Temperature", "Temperature (C)", celsius, decimals=1),
        _piece(
            hours, quarter & hours.fahrenheit, _VITALS, "Temperature", "Temperature (F)", celsius * 1.8 + 32, decimals=1
        ),
    ]
    scored = hours.some(0.2)
    for name, score in (("GCS Total", eyes + motor + verbal), ("Eyes", eyes), ("Motor", motor), ("Verbal", verbal)):
        pieces.append(_piece(hours, scored, _SCORES, "Glasgow coma score", name, score))
    pieces.append(_again(pieces[0], rng))
    rows = _spoiled(pl.concat(pieces), rng)
    ids = pl.Series(stays.ids)[rows["stay"].to_numpy()]
    return rows.select(
        nursingchartid=pl.int_range(first_id, first_id + pl.len()),
        patientunitstayid=ids,
        nursingchartoffset="minute",
        nursingchartentryoffset=pl.col("minute") + 3,
        nursingchartcelltypecat="category",
        nursingchartcelltypevallabel="label",
        nursingchartcelltypevalname="name",
        nursingchartvalue="value",
    )


def laboratory(stays: Stays, places: Hospitals, first_id: int, rng: np.random.Generator) -> pl.DataFrame:
    """Return lab rows of a chunk of stays; raw FiO2 mixes fractions and percent."""
    hours = _Hours(stays, places, rng)
    glucose = np.exp(hours.around(4.85, 0.08, 0.28))
    percent = hours.around(42, 9, 6).clip(21, 100)
    gas = hours.some(0.1)
    inspired = np.where(rng.random(len(percent)) < 0.2, percent / 100, percent)
    pieces = [
        _result(hours, hours.some(0.2), 4, "bedside glucose", glucose, "mg/dL", 0),
        _result(hours, hours.some(0.05), 1, "glucose", glucose, "mg/dL", 0),
        _result(hours, gas, 7, "pH", hours.around(7.38, -0.035, 0.04), "", 2),
        _result(hours, gas, 7, "FiO2", inspired, "%", 2),
        _result(hours, hours.some(0.04), 1, "BUN", hours.around(24, 6, 8).clip(3), "mg/dL", 0),
        _result(hours, hours.some(0.04), 1, "creatinine", np.exp(hours.around(0.1, 0.25, 0.4)), "mg/dL", 2),
    ]
    rows = pl.concat(pieces)
    ids = pl.Series(stays.ids)[rows["stay"].to_numpy()]
    return rows.select(
        labid=pl.int_range(first_id, first_id + pl.len()),
        patientunitstayid=ids,
        labresultoffset="minute",
        labtypeid="type",
        labname="name",
        labresult="value",
        labresulttext="value",
        labmeasurenamesystem="unit",
        labmeasurenameinterface="unit",
        labresultrevisedoffset=pl.col("minute") + 20,
    )


def _piece(
    hours: _Hours, where: np.ndarray, category: str, label: str, name: str, values: np.ndarray, decimals: int = 0
) -> pl.DataFrame:
    return _measured(hours, where, values, decimals).with_columns(
        category=pl.lit(category), label=pl.lit(label), name=pl.lit(name)
    )


def _result(
    hours: _Hours, where: np.ndarray, type_: int, name: str, values: np.ndarray, unit: str, decimals: int
) -> pl.DataFrame:
    return _measured(hours, where, values, decimals).with_columns(
        type=pl.lit(type_), name=pl.lit(name), unit=pl.lit(unit)
    )


def _measured(hours: _Hours, where: np.ndarray, values: np.ndarray, decimals: int) -> pl.DataFrame:
    number = pl.Series(values[where]).round(decimals)
    text = number.cast(pl.Int64).cast(pl.String) if decimals == 0 else number.cast(pl.String)
    return pl.DataFrame({"stay": hours.stay[where], "minute": hours.minute[where], "value": text})


def _again(piece: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """Return a hundredth of the rows once more, in the same minute with another value."""
    copies = piece.filter(pl.Series(rng.random(piece.height) < 0.01))
    return copies.with_columns(value=(pl.col("value").cast(pl.Int64) + 4).cast(pl.String))


def _spoiled(rows: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """Replace a few values in a thousand by what is no number."""
    draw = pl.Series(rng.random(rows.height))
    spoiled = pl.when(draw < 0.001).then(pl.lit("")).when(draw < 0.002).then(pl.lit("unable to obtain"))
    return rows.with_columns(value=spoiled.otherwise("value"))
