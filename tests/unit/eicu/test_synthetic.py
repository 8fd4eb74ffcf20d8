"""The synthetic release: the same files, columns and quirks, seeded, and an outcome that depends on the patient."""

import json
from pathlib import Path

import polars as pl
import pytest

from fl_app.eicu.errors import FolderTaken
from fl_app.eicu.source import source_of
from fl_app.eicu.synthetic import synthesize
from fl_app.learning.metrics import auroc

# The columns of the release's tables, in its order: https://eicu-crd.mit.edu/eicutables/
COLUMNS = {
    "patient": "patientunitstayid,patienthealthsystemstayid,gender,age,ethnicity,hospitalid,wardid,apacheadmissiondx,"
    "admissionheight,hospitaladmittime24,hospitaladmitoffset,hospitaladmitsource,hospitaldischargeyear,"
    "hospitaldischargetime24,hospitaldischargeoffset,hospitaldischargelocation,hospitaldischargestatus,unittype,"
    "unitadmittime24,unitadmitsource,unitvisitnumber,unitstaytype,admissionweight,dischargeweight,"
    "unitdischargetime24,unitdischargeoffset,unitdischargelocation,unitdischargestatus,uniquepid",
    "nurseCharting": "nursingchartid,patientunitstayid,nursingchartoffset,nursingchartentryoffset,"
    "nursingchartcelltypecat,nursingchartcelltypevallabel,nursingchartcelltypevalname,nursingchartvalue",
    "lab": "labid,patientunitstayid,labresultoffset,labtypeid,labname,labresult,labresulttext,labmeasurenamesystem,"
    "labmeasurenameinterface,labresultrevisedoffset",
    "diagnosis": "diagnosisid,patientunitstayid,activeupondischarge,diagnosisoffset,diagnosisstring,icd9code,"
    "diagnosispriority",
    "hospital": "hospitalid,numbedscategory,teachingstatus,region",
    "apacheApsVar": "apacheapsvarid,patientunitstayid,intubated,vent,dialysis,eyes,motor,verbal,meds,urine,wbc,"
    "temperature,respiratoryrate,sodium,heartrate,meanbp,ph,hematocrit,creatinine,albumin,pao2,pco2,bun,glucose,"
    "bilirubin,fio2",
}


@pytest.fixture(scope="module")
def tables(synthetic: Path) -> dict[str, pl.DataFrame]:
    return {
        name.name.removesuffix(".csv.gz"): pl.read_csv(name, infer_schema=False) for name in synthetic.glob("*.csv.gz")
    }


@pytest.mark.parametrize("name", COLUMNS)
def test_the_columns_are_the_release_s(tables: dict[str, pl.DataFrame], name: str) -> None:
    assert tables[name].columns == COLUMNS[name].split(",")


def test_the_quirks_are_there(tables: dict[str, pl.DataFrame]) -> None:
    assert "> 89" in tables["patient"]["age"].to_list()
    assert (
        tables["patient"]["hospitaldischargestatus"].null_count()
        + (tables["patient"]["hospitaldischargestatus"] == "").sum()
    )
    assert tables["nurseCharting"]["nursingchartvalue"].cast(pl.Float64, strict=False).null_count()
    assert (tables["nurseCharting"]["nursingchartoffset"].cast(pl.Int64) < 0).any()
    assert {"Temperature (C)", "Temperature (F)", "Value"} <= set(
        tables["nurseCharting"]["nursingchartcelltypevalname"]
    )
    inspired = tables["lab"].filter(pl.col("labname") == "FiO2")["labresult"].cast(pl.Float64)
    assert (inspired <= 1).any()
    assert (inspired >= 21).any()


def test_a_patient_may_have_several_stays_and_only_at_one_hospital(tables: dict[str, pl.DataFrame]) -> None:
    by_patient = tables["patient"].group_by("uniquepid").agg(pl.len(), pl.col("hospitalid").n_unique().alias("places"))
    assert by_patient["len"].max() > 1
    assert by_patient["places"].max() == 1


def test_dying_depends_on_the_vital_signs(tables: dict[str, pl.DataFrame]) -> None:
    rate = (
        tables["nurseCharting"]
        .filter(pl.col("nursingchartcelltypevalname") == "Heart Rate")
        .with_columns(pl.col("nursingchartvalue").cast(pl.Float64, strict=False))
        .group_by("patientunitstayid")
        .agg(pl.col("nursingchartvalue").mean())
    )
    stays = tables["patient"].join(rate, on="patientunitstayid").drop_nulls("nursingchartvalue")
    died = (stays["hospitaldischargestatus"] == "Expired").to_torch()
    assert 0.03 < died.float().mean() < 0.2
    area = auroc(stays["nursingchartvalue"].to_torch(), died)
    assert area is not None
    assert area > 0.65


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    for name, seed in (("one", 3), ("two", 3), ("other", 4)):
        synthesize(tmp_path / name, 30, seed=seed)
    for path in (tmp_path / "one").iterdir():
        assert (tmp_path / "two" / path.name).read_bytes() == path.read_bytes()
    packed = [(tmp_path / name / "patient.csv.gz").read_bytes() for name in ("one", "other")]
    assert packed[0] != packed[1]


def test_it_says_that_it_is_synthetic(synthetic: Path) -> None:
    assert source_of(synthetic) == "synthetic"
    assert json.loads((synthetic / "SOURCE.json").read_text())["seed"] == 1


def test_real_data_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "patient.csv").write_text("patientunitstayid\n1\n")
    with pytest.raises(FolderTaken):
        synthesize(tmp_path, 30, seed=0)
    assert (tmp_path / "patient.csv").read_text() == "patientunitstayid\n1\n"
