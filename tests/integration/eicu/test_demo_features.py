"""The open demo's features equal those of the plain reference, value by value; and their sums are written down here.

The expected numbers below come from ``tests/helpers/eicu_reference.py``, which shares no code with the application:
``python tests/helpers/eicu_reference.py DIR`` prints them. The published code itself, patched to run on pandas 1.5.3
(``.ix``, a column that the demo lacks, the group level of ``groupby.apply``), gives the same patients and rows and
equal values (to 1e-15).
"""

from pathlib import Path

import eicu_reference as reference
import polars as pl
import pytest

from fl_app.eicu.features import Features, hourly_features
from fl_app.eicu.tables import Tables
from fl_app.eicu.variables import VARIABLES

pytestmark = pytest.mark.integration

PATIENTS, ROWS = 1071, 57_132
SUMS = {
    "age": 3659479.0,
    "admissionheight": 9663988.78,
    "admissionweight": 4811181.01,
    "GCS Total": 855461.5,
    "Eyes": 228143.0,
    "Motor": 342389.0,
    "Verbal": 284929.5,
    "Heart Rate": 4825570.5,
    "MAP (mmHg)": 4688448.0,
    "Invasive BP Diastolic": 3698536.398809524,
    "Invasive BP Systolic": 6941540.304761905,
    "O2 Saturation": 5525026.3,
    "Respiratory Rate": 1118199.5,
    "Temperature (C)": 2069094.39,
    "glucose": 7527296.166666667,
    "FiO2": 1000796.0,
    "pH": 422735.28400000004,
}


@pytest.fixture(scope="module")
def features(demo: Path) -> Features:
    return hourly_features(Tables(demo))


def test_every_value_equals_the_reference_s(demo: Path, features: Features) -> None:
    expected = reference.benchmark(demo)
    keys = [(stay, hour) for stay in sorted(expected) for hour in sorted(expected[stay])]
    assert features.rows.select("patientunitstayid", "hour").rows() == keys
    rows = [expected[stay][hour] for stay, hour in keys]
    for name in VARIABLES:
        want = pl.Series([row[name] for row in rows], strict=False)
        if name in ("apacheadmissiondx", "ethnicity", "gender"):
            assert features.rows[name].equals(want), name
        else:
            assert (features.rows[name] - want.cast(pl.Float64)).abs().max() < 1e-9, name


def test_events_that_go_by_way_of_the_disk_give_the_same_bits(demo: Path, features: Features, tmp_path: Path) -> None:
    by_disk = hourly_features(Tables(demo), in_memory=100_000, scratch=tmp_path)
    assert by_disk.rows.equals(features.rows)
    assert list(tmp_path.iterdir()) == []


def test_patients_rows_and_sums_of_the_demo(features: Features) -> None:
    assert features.cohort.stays.height == PATIENTS
    assert features.rows.height == ROWS
    sums = features.rows.select(pl.col(list(SUMS)).sum()).row(0, named=True)
    assert sums == pytest.approx(SUMS, rel=1e-9)
