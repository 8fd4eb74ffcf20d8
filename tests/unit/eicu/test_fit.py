"""Ids and scaling fitted without pooling: what a site says of itself, what it withholds, and the one file for all."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fl_app.compare.pool import gather
from fl_app.eicu.__main__ import main
from fl_app.eicu.clinical import TYPICAL
from fl_app.eicu.cohort import read_patients
from fl_app.eicu.dataset import load_partition_data_eicu
from fl_app.eicu.errors import EicuDataError, EmptyTable
from fl_app.eicu.features import VARIANTS, hourly_features
from fl_app.eicu.fitted import fit
from fl_app.eicu.hospitals import SiteHospitals
from fl_app.eicu.options import Options
from fl_app.eicu.survey import Survey, reportable, survey
from fl_app.eicu.tables import Tables
from fl_app.eicu.variables import CLINICAL_RANGES, NUMERIC, RULES_VERSION
from fl_app.learning.targets import federation_counts
from fl_app.plugins import DatasetSpec

SITES = ("hospital-a", "hospital-b")
SURVEY = Survey(
    site="a", task="mortality_48h", variant="benchmark", rules=RULES_VERSION, minimum_cell=10, stays=40,
    categories={
        "apacheadmissiondx": {"Sepsis": 25, "nodx": 15}, "ethnicity": {"Caucasian": 40}, "gender": {"Female": 40},
    },
    ranges={"age": (30.0, 80.0)}, medians={}, outcomes={"0": 30, "1": 10},
)  # fmt: skip


def other(**changes: object) -> Survey:
    return replace(SURVEY, site="b", **changes)  # type: ignore[arg-type]


@given(st.dictionaries(st.text(max_size=3), st.integers(1, 40)), st.integers(1, 20))
def test_what_is_reported_is_of_enough_stays_and_so_is_what_could_be_worked_out(
    counts: dict[str, int], minimum: int
) -> None:
    kept = reportable(counts, minimum)
    assert all(count >= minimum and counts[name] == count for name, count in kept.items())
    withheld = sum(counts.values()) - sum(kept.values())
    assert not 0 < withheld < min(minimum, sum(counts.values()))
    enough = [name for name in counts if counts[name] >= minimum]
    assert len(kept) >= len(enough) - 1  # no more is given up than need be


def test_a_single_rare_name_is_not_told_by_the_total() -> None:
    counts = {"Caucasian": 90, "Asian": 12, "Hispanic": 3}
    assert reportable(counts, 10) == {"Caucasian": 90}
    naive = {name: count for name, count in counts.items() if count >= 10}
    assert sum(counts.values()) - sum(naive.values()) == 3  # the control: without the second step the total tells it


def test_a_survey_is_about_training_stays_alone_and_counts_them(dealt: Path) -> None:
    folder = dealt / SITES[0]
    found = survey(folder, SITES[0], Options.read({}), minimum_cell=1)
    split = SiteHospitals.read(folder, SITES[0])
    train = load_partition_data_eicu(DatasetSpec("eicu", {}, folder, SITES[0], "client", 32, 0))[3].dataset.encoded
    assert found.stays == len(train)
    assert found.outcomes == {"0": int((train.labels == 0).sum()), "1": int((train.labels == 1).sum())}
    patients = read_patients(Tables(folder)).filter(pl.col("patientunitstayid").is_in(train.stays.tolist()))
    assert set(patients["hospitalid"]) <= set(split.train)
    women = patients.filter(pl.col("gender") == "Female").height
    assert found.categories["gender"]["Female"] == women
    assert found.ranges["age"] == (patients["age"].min(), patients["age"].max())


@pytest.mark.parametrize("minimum", [2, 5])
def test_the_ends_of_a_range_are_reached_by_so_many_stays(dealt: Path, minimum: int) -> None:
    folder = dealt / SITES[0]
    found = survey(folder, SITES[0], Options.read({}), minimum_cell=minimum)
    train = load_partition_data_eicu(DatasetSpec("eicu", {}, folder, SITES[0], "client", 32, 0))[3].dataset.encoded
    features = hourly_features(Tables(folder)).rows.filter(
        pl.col("patientunitstayid").is_in(train.stays.tolist()), pl.col("hour").is_between(1, 48)
    )
    for name in NUMERIC:
        by_stay = features.group_by("patientunitstayid").agg(low=pl.col(name).min(), high=pl.col(name).max())
        low, high = found.ranges[name]
        assert by_stay.filter(pl.col("low") < low).height < minimum <= by_stay.filter(pl.col("low") <= low).height
        assert by_stay.filter(pl.col("high") > high).height < minimum <= by_stay.filter(pl.col("high") >= high).height


def test_fewer_stays_than_the_minimum_say_nothing(dealt: Path) -> None:
    with pytest.raises(EmptyTable, match=r"hospital-a: \d+ training stays .* nothing is said of fewer than 9999"):
        survey(dealt / SITES[0], SITES[0], Options.read({}), minimum_cell=9999)


def test_rare_outcomes_are_withheld(dealt: Path) -> None:
    deaths = survey(dealt / SITES[0], SITES[0], Options.read({}), minimum_cell=1).outcomes["1"]
    assert survey(dealt / SITES[0], SITES[0], Options.read({}), minimum_cell=deaths + 1).outcomes is None


def test_a_fit_is_the_union_the_hull_and_the_sum() -> None:
    found = fit([other(ranges={"age": (20.0, 70.0)}, categories={
        "apacheadmissiondx": {"Asthma": 12}, "ethnicity": {"Asian": 11, "Other/Unknown": 10}, "gender": {"Male": 10},
    }), SURVEY])  # fmt: skip
    assert found.sites == ("a", "b")
    assert found.categories == {
        "apacheadmissiondx": ("Asthma", "Sepsis"), "ethnicity": ("Asian", "Caucasian"), "gender": ("Female", "Male"),
    }  # fmt: skip
    assert found.ranges["age"] == (20, 80)
    assert found.ranges["pH"] == CLINICAL_RANGES["pH"]  # nobody could report it
    assert (found.stays, found.outcomes) == (80, {"0": 60, "1": 20})
    assert found.text() == fit([SURVEY, other(ranges={"age": (20.0, 70.0)}, categories={
        "apacheadmissiondx": {"Asthma": 12}, "ethnicity": {"Asian": 11, "Other/Unknown": 10}, "gender": {"Male": 10},
    })]).text()  # fmt: skip


def test_medians_are_weighted_by_stays_and_one_withheld_outcome_withholds_the_sum() -> None:
    found = fit([replace(SURVEY, medians={"pH": 7.4}), other(medians={"pH": 7.0}, stays=120, outcomes=None)])
    assert found.medians == {"pH": pytest.approx((40 * 7.4 + 120 * 7.0) / 160)}
    assert found.outcomes is None


def test_the_ids_of_a_fit_are_in_the_same_blocks_and_what_is_not_in_it_is_unknown() -> None:
    words = fit([SURVEY, other()]).vocabulary()
    rows = pl.DataFrame(
        {
            "apacheadmissiondx": ["nodx", "Sepsis", "Asthma"], "ethnicity": ["Asian", "Caucasian", "Other/Unknown"],
            "gender": ["Female", "Male", "Female"], "GCS Total": [15.0] * 3, "Eyes": [4.0] * 3, "Motor": [6.0] * 3,
            "Verbal": [5.0] * 3,
        }
    )  # fmt: skip
    assert words.ids(rows).select("apacheadmissiondx", "ethnicity", "gender").rows() == [
        (2, 390, 397), (3, 391, 396), (1, 390, 397),
    ]  # fmt: skip
    assert words.ids(rows).row(0)[3:] == (413, 417, 423, 428)


def too_many() -> Survey:
    names = {f"diagnosis {number}": 10 for number in range(388)}
    return other(stays=3880, categories={**SURVEY.categories, "apacheadmissiondx": names})


@pytest.mark.parametrize(
    ("surveys", "told"),
    [
        ([], "no surveys"),
        ([SURVEY, SURVEY], "two surveys are of a"),
        ([SURVEY, other(task="mortality_24h")], "not of one task and variant: a: mortality_48h on benchmark; b: "),
        ([SURVEY, too_many()], "report 389 admission diagnoses; the vocabulary has room for 387"),
    ],
)
def test_surveys_that_do_not_fit_together_are_refused(surveys: list[Survey], told: str) -> None:
    with pytest.raises(EicuDataError, match=told):
        fit(surveys)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"rules": 0}, "rules 0"),
        ({"task": "x"}, "no task 'x'"),
        ({"stays": 5}, "5 stays are fewer than its minimum of 10"),
        ({"categories": {**SURVEY.categories, "gender": {"Female": 9}}}, "gender 'Female' has 9 stays"),
        ({"categories": {**SURVEY.categories, "gender": {"Female": 41}}}, "gender 'Female' has 41 stays"),
        ({"categories": {**SURVEY.categories, "ethnicity": {"Jane Doe": 12}}}, "ethnicity 'Jane Doe' is none of"),
        ({"categories": {}}, "is no survey"),
        ({"ranges": {"age": [1, float("nan")]}}, "range of 'age'"),
        ({"ranges": {"age": [9, 1]}}, "range of 'age'"),
        ({"ranges": {"name": [1, 9]}}, "range of 'name'"),
        ({"medians": {"age": 50}}, "median of 'age'"),
        ({"outcomes": {"0": 3}}, "outcomes"),
        ({"stays": "many"}, "is no survey"),
    ],
)
def test_a_survey_that_is_handed_over_is_not_believed_unchecked(tmp_path: Path, change: object, told: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(SURVEY.text())
    assert Survey.read(path) == SURVEY  # the control
    path.write_text(json.dumps(asdict(SURVEY) | change))  # type: ignore[operator]
    with pytest.raises(EicuDataError, match=told) as caught:
        Survey.read(path)
    assert str(path) in str(caught.value)


@pytest.fixture
def fitted(dealt: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[Path, str]:
    """Both sites' folders with a fit that the commands made, and its digest."""
    for site in SITES:
        (tmp_path / site).mkdir()
        for path in (dealt / site).iterdir():
            (tmp_path / site / path.name).symlink_to(path)
        arguments = ["--source", str(tmp_path / site), "--site", site, "--out", str(tmp_path / f"{site}.json")]
        assert main(["survey", *arguments, "--minimum-cell", "3", "--variant", "clinical"]) == 0
    capsys.readouterr()
    surveys = [str(tmp_path / f"{site}.json") for site in SITES]
    assert main(["fit", "--surveys", *surveys, "--out", str(tmp_path / "fit.json"), "--json"]) == 0
    for site in SITES:
        (tmp_path / site / "fit.json").write_bytes((tmp_path / "fit.json").read_bytes())
    return tmp_path, json.loads(capsys.readouterr().out)["fit"]


def load(folder: Path, **options: object) -> tuple:
    spec = DatasetSpec("eicu", {"variant": "clinical", **options}, folder, folder.name, "client", 32, 0)
    return load_partition_data_eicu(spec)


def test_sites_train_with_one_fit_and_with_the_federation_s_class_frequencies(fitted: tuple[Path, str]) -> None:
    root, digest = fitted
    document = json.loads((root / "fit.json").read_text())
    train = {site: load(root / site, fit=digest)[3] for site in SITES}
    labels = torch.cat([train[site].dataset.encoded.labels for site in SITES])
    for site in SITES:
        assert federation_counts(train[site]).tolist() == torch.bincount(labels).tolist()
        assert gather(train[site]).class_counts.tolist() == torch.bincount(labels).tolist()
        ages = train[site].dataset.encoded.values[..., NUMERIC.index("age")]
        low, high = document["ranges"]["age"]
        assert ((ages + 1) / 2 * (high - low) + low).max() <= 89.001
    assert federation_counts(load(root / SITES[0])[3]) is None  # the control: without a fit each has its own
    fixed = load(root / SITES[0])[3].dataset.encoded
    assert not torch.equal(fixed.ids, train[SITES[0]].dataset.encoded.ids)


def test_the_clinical_variant_fills_in_the_training_sites_medians(fitted: tuple[Path, str]) -> None:
    root, _ = fitted
    medians = json.loads((root / "fit.json").read_text())["medians"]
    assert set(medians) == set(TYPICAL)
    first = hourly_features(Tables(root / SITES[0]), "clinical", medians=medians).rows
    usual = hourly_features(Tables(root / SITES[0]), "clinical").rows
    never = (pl.col("pH filled in") == 1).all().over("patientunitstayid")
    assert set(first.filter(never)["pH"]) == {medians["pH"]}
    assert set(usual.filter(never)["pH"]) == {7.4}
    assert first.filter(~never)["pH filled in"].equals(usual.filter(~never)["pH filled in"])
    assert VARIANTS["benchmark"].filled_with(medians) is VARIANTS["benchmark"]


def test_a_site_with_another_fit_or_none_does_not_train(fitted: tuple[Path, str]) -> None:
    root, digest = fitted
    site = root / SITES[0]
    with pytest.raises(EicuDataError, match="was fitted for mortality_48h on clinical; mortality_24h on clinical"):
        load(site, fit=digest, task="mortality_24h")
    (site / "fit.json").write_text((site / "fit.json").read_text() + " ")
    with pytest.raises(EicuDataError, match=f"the federation trains with {digest[:12]}"):
        load(site, fit=digest)
    (site / "fit.json").unlink()
    with pytest.raises(EicuDataError, match=r"fit\.json: cannot be read"):
        load(site, fit=digest)


@pytest.mark.parametrize("value", ["latest", 7, "A" * 64])
def test_a_fit_is_named_by_its_digest(value: object) -> None:
    with pytest.raises(EicuDataError, match=r"fit: .*; allowed: the SHA-256"):
        Options.read({"fit": value})
