"""The two APACHE tables of synthetic stays."""

from __future__ import annotations

import numpy as np
import polars as pl

from fl_app.eicu.synthetic.population import Stays

_MISSING = -1


def apache_results(some: Stays, first_id: int) -> pl.DataFrame:
    """Return the APACHE IVa predictions: here the very risk that each outcome was drawn from."""
    actual = np.where(some.expired, "EXPIRED", "ALIVE")
    days = (some.hours / 24).round(4)
    score = np.clip(50 + 20 * some.severity, 5, 200).astype(int)
    blank = pl.lit(None, pl.String)
    return pl.DataFrame({"patientunitstayid": some.ids}).select(
        apachepatientresultsid=pl.int_range(first_id, first_id + pl.len()),
        patientunitstayid="patientunitstayid",
        physicianspeciality=pl.lit("Unknown"),
        physicianinterventioncategory=pl.lit("Unknown"),
        acutephysiologyscore=pl.Series(score - 5),
        apachescore=pl.Series(score),
        apacheversion=pl.lit("IVa"),
        predictedicumortality=pl.Series((0.6 * some.risk).round(6)),
        actualicumortality=pl.Series(actual),
        predictediculos=pl.Series(days),
        actualiculos=pl.Series(days),
        predictedhospitalmortality=pl.Series(some.risk.round(6)),
        actualhospitalmortality=pl.Series(actual),
        predictedhospitallos=pl.Series(2 * days),
        actualhospitallos=pl.Series(2 * days),
        preopmi=pl.lit(0),
        preopcardiaccath=pl.lit(0),
        ptcawithin24h=pl.lit(0),
        unabridgedunitlos=pl.Series(days),
        unabridgedhosplos=pl.Series(2 * days),
        actualventdays=blank,
        predventdays=blank,
        unabridgedactualventdays=blank,
    )


def apache_variables(some: Stays, first_id: int, rng: np.random.Generator) -> pl.DataFrame:
    """Return the first day's worst values; -1 is missing, as in the release."""
    ill = some.severity + rng.normal(0, 0.4, len(some.ids))
    ventilated = (ill > 1).astype(int)
    known = {
        "intubated": ventilated,
        "vent": ventilated,
        "dialysis": np.zeros(len(ill), dtype=int),
        "eyes": np.clip(4 - np.maximum(0, ill), 1, 4).astype(int),
        "motor": np.clip(6 - np.maximum(0, ill), 1, 6).astype(int),
        "verbal": np.clip(5 - np.maximum(0, ill), 1, 5).astype(int),
        "meds": np.zeros(len(ill), dtype=int),
        "temperature": (36.7 + 0.2 * ill).round(1),
        "respiratoryrate": np.clip(24 + 4 * ill, 4, 60).astype(int),
        "heartrate": np.clip(98 + 12 * ill, 30, 200).astype(int),
        "meanbp": np.clip(75 - 10 * ill, 30, 150).astype(int),
        "ph": np.where(ventilated, (7.36 - 0.04 * ill).round(2), _MISSING),
        "fio2": np.where(ventilated, np.clip(50 + 10 * ill, 21, 100).round(), _MISSING),
        "glucose": np.clip(140 + 20 * ill, 40, 600).astype(int),
    }
    order = (
        *("intubated", "vent", "dialysis", "eyes", "motor", "verbal", "meds", "urine", "wbc", "temperature"),
        *("respiratoryrate", "sodium", "heartrate", "meanbp", "ph", "hematocrit", "creatinine", "albumin", "pao2"),
        *("pco2", "bun", "glucose", "bilirubin", "fio2"),
    )
    missing = np.full(len(ill), _MISSING)
    return pl.DataFrame(
        {
            "apacheapsvarid": np.arange(first_id, first_id + len(ill)),
            "patientunitstayid": some.ids,
            **{name: known.get(name, missing) for name in order},
        }
    )
