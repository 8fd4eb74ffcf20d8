"""What each task cuts out of hourly rows: by arithmetic, and against a plain second implementation."""

import gzip
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fl_app.eicu.dataset import load_partition_data_eicu
from fl_app.eicu.errors import EicuDataError, EmptyTable, MissingTable, OneClassOnly, UnusableSplit
from fl_app.eicu.hospitals import SiteHospitals
from fl_app.eicu.options import Options
from fl_app.eicu.site import encode_folder
from fl_app.eicu.tables import Tables
from fl_app.eicu.tasks import TASKS
from fl_app.eicu.tasks.phenotyping import labels_of, phenotypes
from fl_app.plugins import DatasetSpec

NOWHERE = Tables(Path("nowhere"))


def rows_of(hours: list[int], stay: int = 7) -> pl.DataFrame:
    rows = pl.DataFrame({"hour": pl.Series(hours, dtype=pl.Int32)})
    return rows.select(pl.lit(stay, pl.Int64).alias("patientunitstayid"), "hour", hospitalid=pl.lit(56, pl.Int64))


def stay_of(days: float, unit: str | None = "Alive", stay: int = 7, hospital: str = "Alive") -> pl.DataFrame:
    columns = {"patientunitstayid": stay, "unitdischargeoffset": round(days * 1440), "unitdischargestatus": unit}
    return pl.DataFrame([{**columns, "hospitaldischargestatus": hospital}])


def cut(task: str, rows: pl.DataFrame, stays: pl.DataFrame) -> list[tuple[int, list[int], float]]:
    """Return (stay, hours, label) of each sample."""
    found = TASKS[task].samples(rows, stays, NOWHERE)
    hours = found.rows.group_by("sample", maintain_order=True).agg(pl.col("patientunitstayid").first(), "hour")
    return hours.join(found.labels, on="sample", maintain_order="left").drop("sample").rows()


def test_a_window_has_twelve_rows_begins_every_six_and_is_followed_by_six() -> None:
    hours = list(range(1, 25))  # 24 rows: windows from row 0 and 6; one from row 12 would have nothing behind it
    assert cut("remaining_los", rows_of(hours), stay_of(10)) == [
        (7, hours[:12], pytest.approx(10 - 12 / 24)),
        (7, hours[6:18], pytest.approx(10 - 18 / 24)),
    ]


@pytest.mark.parametrize(("number", "windows"), [(17, 0), (18, 1), (23, 1), (24, 2), (30, 3)])
def test_how_many_windows_a_stay_of_so_many_rows_has(number: int, windows: int) -> None:
    assert len(cut("remaining_los", rows_of(list(range(1, number + 1))), stay_of(50))) == windows


def test_rows_before_admission_and_after_discharge_are_in_no_window() -> None:
    hours = [-2, 0, *range(1, 40)]
    found = cut("remaining_los", rows_of(hours), stay_of(1))  # 24 h: rows 1 to 23 are inside
    assert [window[1] for window in found] == [list(range(1, 13))]
    assert found[0][2] == pytest.approx(0.5)


def test_the_remaining_stay_is_in_days_with_two_decimals() -> None:
    stay = stay_of(0).with_columns(unitdischargeoffset=pl.lit(3000))
    assert cut("remaining_los", rows_of(list(range(1, 19))), stay)[0][2] == pytest.approx(round(3000 / 1440 - 0.5, 2))


def test_decompensation_is_positive_in_the_last_48_hours_of_who_dies_in_the_unit() -> None:
    hours = list(range(1, 97))
    labels = [label for _, _, label in cut("decompensation", rows_of(hours), stay_of(4.5, "Expired"))]
    ends = [12 + 6 * number for number in range(len(labels))]
    assert labels == [int(end >= 96 - 48) for end in ends]
    assert {0, 1} == set(labels)
    assert {label for _, _, label in cut("decompensation", rows_of(hours), stay_of(4.5, "Alive"))} == {0}


@pytest.mark.parametrize("stay", [stay_of(4, None), stay_of(4, "Moved"), stay_of(1, "Expired")])
def test_decompensation_needs_a_known_end_and_more_than_a_day(stay: pl.DataFrame) -> None:
    assert cut("decompensation", rows_of(list(range(1, 24))), stay) == []
    assert cut("decompensation", rows_of(list(range(1, 24))), stay_of(4)) != []


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sets(st.integers(-5, 90), max_size=60), st.integers(0, 6000)), min_size=1, max_size=4))
def test_windows_are_those_of_a_plain_loop(stays: list[tuple[set[int], int]]) -> None:
    rows = pl.concat(rows_of(sorted(hours), number) for number, (hours, _) in enumerate(stays))
    patients = pl.concat(stay_of(end / 1440, "Expired", number) for number, (_, end) in enumerate(stays))
    remaining, dying = [], []
    for number, (hours, end) in enumerate(stays):
        inside = [hour for hour in sorted(hours) if hour > 0 and end / 1440 - hour / 24 > 0]
        for start in range(0, len(inside) - 17, 6):
            window = inside[start : start + 12]
            remaining.append((number, window, pytest.approx(end / 1440 - window[-1] / 24, abs=0.006)))
            if end > 1440:
                dying.append((number, window, int(window[-1] >= inside[-1] - 48)))
    assert cut("remaining_los", rows, patients) == remaining
    assert cut("decompensation", rows, patients) == dying


def diagnosis(folder: Path, *lines: str) -> Tables:
    text = "\n".join(["diagnosisid,patientunitstayid,diagnosisoffset,icd9code", *lines]) + "\n"
    (folder / "Diagnosis.csv.gz").write_bytes(gzip.compress(text.encode()))
    return Tables(folder)


def conditions(tables: Tables) -> dict[int, list[str]]:
    names = list(phenotypes())
    return {stay: [names[place] for place in np.flatnonzero(label)] for stay, label in labels_of(tables).iter_rows()}


def test_the_first_code_counts_without_its_dot_if_it_was_entered_after_admission(tmp_path: Path) -> None:
    tables = diagnosis(
        tmp_path,
        '1,7,10,"038.9, A41.9"',  # septicemia
        '2,7,20,"401.9, 038.9"',  # the second code does not count: essential hypertension alone
        "3,7,20,785.52",  # shock
        "4,8,0,038.9",  # at admission: does not count
        "5,8,-5,038.9",
        "6,8,5,",  # no code
        "7,9,5,V70.0",  # none of the 25
        "8,10,5,585.9",  # chronic kidney disease is 585.1 to 585.9
    )
    assert conditions(tables) == {
        7: ["Septicemia (except in labor)", "Shock", "Essential hypertension"],
        10: ["Chronic kidney disease"],
    }


def test_the_25_conditions_have_codes_that_no_two_share() -> None:
    codes = [code for codes in phenotypes().values() for code in codes]
    assert len(phenotypes()) == 25
    assert len(codes) == len(set(codes))
    assert not any("." in code for code in codes)


def test_phenotyping_reads_the_diagnosis_table_and_nothing_else_does(synthetic: Path, tmp_path: Path) -> None:
    for path in synthetic.iterdir():
        if path.name != "diagnosis.csv.gz":
            (tmp_path / path.name).symlink_to(path)
    with pytest.raises(MissingTable, match="no table diagnosis"):
        encode_folder(tmp_path, Options.read({"task": "phenotyping"}))
    (tmp_path / "diagnosis.csv.gz").write_bytes(b"\x1f\x8bbroken")
    for task in TASKS:
        if task != "phenotyping":
            assert len(encode_folder(tmp_path, Options.read({"task": task})))
    with pytest.raises(EicuDataError, match=r"diagnosis\.csv\.gz"):
        encode_folder(tmp_path, Options.read({"task": "phenotyping"}))


@pytest.mark.parametrize("table", ["hospital", "apachePatientResult", "apacheApsVar", "vitalPeriodic"])
def test_tables_that_nothing_names_may_be_anything(synthetic: Path, tmp_path: Path, table: str) -> None:
    for path in synthetic.iterdir():
        if not path.name.startswith(table):
            (tmp_path / path.name).symlink_to(path)
    (tmp_path / f"{table}.csv.gz").write_bytes(b"no gzip at all")
    assert len(encode_folder(tmp_path, Options.read({})))


@pytest.mark.parametrize(
    ("task", "positions", "label", "outputs"),
    [
        ("mortality_48h", 50, (torch.int64, ()), 2),
        ("remaining_los", 12, (torch.float32, ()), 1),
        ("decompensation", 12, (torch.int64, ()), 2),
        ("phenotyping", 200, (torch.float32, (25,)), 25),
    ],
)
def test_every_task_is_the_same_data_set(dealt: Path, task: str, positions: int, label: tuple, outputs: int) -> None:
    spec = DatasetSpec("eicu", {"task": task}, dealt / "hospital-a", "hospital-a", "client", 32, 0)
    parts = load_partition_data_eicu(spec)
    features, labels = next(iter(parts[3]))
    assert features["ids"].shape[1:] == (positions, 7)
    assert features["values"].shape[1:] == (positions, 13)
    assert (labels.dtype, labels.shape[1:]) == label
    assert parts[8] == outputs
    nobody = load_partition_data_eicu(DatasetSpec("eicu", {"task": task}, None, "hub", "aggregator", 32, 0))
    assert nobody[8] == outputs


def test_training_samples_that_all_have_the_same_conditions_are_refused(dealt: Path, tmp_path: Path) -> None:
    site = tmp_path / "hospital-a"
    site.mkdir()
    for path in (dealt / "hospital-a").iterdir():
        (site / path.name).symlink_to(path)
    stays = pl.read_csv(site / "patient.csv.gz", infer_schema=False)["patientunitstayid"]
    (site / "diagnosis.csv.gz").unlink()
    diagnosis(site, *(f"{number},{stay},5,038.9" for number, stay in enumerate(stays)))
    spec = DatasetSpec("eicu", {"task": "phenotyping"}, site, "hospital-a", "client", 32, 0)
    with pytest.raises(OneClassOnly, match="the same ones"):
        load_partition_data_eicu(spec)


def test_a_patient_in_training_and_in_test_is_refused_when_a_site_is_loaded(dealt: Path, tmp_path: Path) -> None:
    site = tmp_path / "hospital-a"
    site.mkdir()
    for path in (dealt / "hospital-a").iterdir():
        (site / path.name).symlink_to(path)
    patients = pl.read_csv(site / "patient.csv.gz", infer_schema=False)
    split = SiteHospitals.read(site, "hospital-a")
    spec = DatasetSpec("eicu", {}, site, "hospital-a", "client", 32, 0)
    load_partition_data_eicu(spec)  # the control: as it was dealt it loads
    owner = patients.filter(pl.col("hospitalid") == str(split.train[0]))["uniquepid"][0]
    moved = pl.when(pl.col("hospitalid") == str(split.test[0])).then(pl.lit(owner)).otherwise("uniquepid")
    (site / "patient.csv.gz").unlink()
    patients.with_columns(uniquepid=moved).write_csv(site / "patient.csv")
    with pytest.raises(UnusableSplit, match=f"uniquepid {owner} is in hospital-a train and in hospital-a test"):
        load_partition_data_eicu(spec)


def test_a_diagnosis_table_without_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EmptyTable, match="header but no rows"):
        labels_of(diagnosis(tmp_path))
