"""Who is in the study: each rule by example."""

import gzip
from pathlib import Path

import polars as pl
import pytest

from fl_app.eicu.cohort import COLUMNS, read_patients, select_cohort
from fl_app.eicu.errors import EmptyTable, UnreadableTable
from fl_app.eicu.tables import Tables

STAY = {
    "patientunitstayid": "1", "hospitalid": "56", "uniquepid": "002-1", "age": "60", "gender": "Female",
    "ethnicity": "Caucasian", "apacheadmissiondx": "Sepsis", "admissionheight": "170.5", "admissionweight": "",
    "hospitaldischargestatus": "Alive", "unitdischargestatus": "Alive", "unitdischargeoffset": "3000",
}  # fmt: skip


def release(folder: Path, *changes: dict[str, str]) -> Tables:
    rows = [STAY | {"patientunitstayid": str(n), "uniquepid": f"p{n}"} | change for n, change in enumerate(changes, 1)]
    text = pl.DataFrame(rows, schema=dict.fromkeys(COLUMNS, pl.String)).write_csv()
    (folder / "patient.csv.gz").write_bytes(gzip.compress(text.encode()))
    return Tables(folder)


def admitted(folder: Path, *changes: dict[str, str]) -> list[int]:
    return select_cohort(read_patients(release(folder, *changes))).stays["patientunitstayid"].to_list()


def test_ages_18_to_89_are_in_and_above_89_and_blank_are_out(tmp_path: Path) -> None:
    ages = [{"age": age} for age in ("17", "18", "89", "> 89", "", " 60 ", "-5", "60.0")]
    assert admitted(tmp_path, *ages) == [2, 3, 6, 8]


def test_a_patient_with_two_stays_is_out_unless_the_age_rule_took_one_of_them(tmp_path: Path) -> None:
    again = {"uniquepid": "twice"}
    crossing = {"uniquepid": "crossing"}
    assert admitted(tmp_path, again, again, crossing | {"age": "89"}, crossing | {"age": "> 89"}, {}) == [3, 5]


def test_a_stay_without_a_patient_is_out(tmp_path: Path) -> None:
    assert admitted(tmp_path, {"uniquepid": ""}, {}) == [2]


def test_unknown_gender_and_blank_outcome_are_out(tmp_path: Path) -> None:
    assert admitted(tmp_path, {"gender": "Unknown"}, {"gender": ""}, {"hospitaldischargestatus": ""}, {}) == [4]


def test_the_flow_counts_what_each_rule_removed(tmp_path: Path) -> None:
    flow = select_cohort(read_patients(release(tmp_path, {"age": "9"}, {"gender": ""}, {}, {}))).flow
    assert [(step.removed, step.left) for step in flow] == [(0, 4), (1, 3), (0, 3), (1, 2), (0, 2)]


def test_blank_diagnosis_and_ethnicity_have_names(tmp_path: Path) -> None:
    stays = select_cohort(read_patients(release(tmp_path, {"apacheadmissiondx": "", "ethnicity": ""}))).stays
    assert stays.select("apacheadmissiondx", "ethnicity").row(0) == ("nodx", "Other/Unknown")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"hospitalid": ""}, "no hospitalid"),
        ({"patientunitstayid": ""}, "no patientunitstayid"),
        ({"patientunitstayid": "2"}, "stay 2 stands there more than once"),
        ({"age": "sixty"}, "age.*sixty"),
        ({"age": "99999999999"}, "age.*99999999999"),
    ],
)
def test_a_patient_table_that_makes_no_sense_is_refused(tmp_path: Path, change: dict[str, str], told: str) -> None:
    with pytest.raises(UnreadableTable, match=told):
        read_patients(release(tmp_path, change, {}))


def test_a_patient_table_without_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EmptyTable, match="no rows"):
        read_patients(release(tmp_path))
