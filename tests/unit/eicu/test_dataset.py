"""A site's folder as FedML's nine parts, and every way in which it cannot be one."""

import json
import shutil
from pathlib import Path

import polars as pl
import pytest
import torch

from fl_app.eicu.dataset import load_partition_data_eicu
from fl_app.eicu.errors import EicuDataError, EmptyTable, OneClassOnly, UnusableSplit
from fl_app.eicu.hospitals import SiteHospitals
from fl_app.plugins import DatasetSpec, load_plugin

SITE = "hospital-a"


def spec(folder: Path | None, **options: object) -> DatasetSpec:
    role = "client" if folder else "aggregator"
    return DatasetSpec("eicu", options, folder, SITE, role, batch_size=32, seed=0)


@pytest.fixture
def site(dealt: Path, tmp_path: Path) -> Path:
    """A copy of a site's folder, to be spoiled."""
    shutil.copytree(dealt / SITE, tmp_path / SITE)
    return tmp_path / SITE


def test_it_is_the_data_set_called_eicu() -> None:
    assert load_plugin("federate.datasets", "eicu") is load_partition_data_eicu


def test_the_nine_parts_agree_with_each_other(dealt: Path) -> None:
    parts = load_partition_data_eicu(spec(dealt / SITE))
    clients, train_num, test_num, train, test, local_num, local_train, local_test, classes = parts
    assert (clients, classes) == (1, 2)
    assert sum(len(labels) for _, labels in train) == train_num == local_num[0] > 0
    assert sum(len(labels) for _, labels in test) == test_num > 0
    assert local_train[0] is train
    assert local_test[0] is test


def test_a_batch_is_ids_values_and_labels(dealt: Path) -> None:
    features, labels = next(iter(load_partition_data_eicu(spec(dealt / SITE))[3]))
    assert features["ids"].shape == (32, 50, 7)
    assert features["values"].shape == (32, 50, 13)
    assert (features["ids"].dtype, features["values"].dtype, labels.dtype) == (torch.int64, torch.float32, torch.int64)


def test_training_and_test_stays_are_of_the_hospitals_that_the_site_s_file_says(dealt: Path) -> None:
    parts = load_partition_data_eicu(spec(dealt / SITE))
    split = SiteHospitals.read(dealt / SITE, SITE)
    assert set(parts[3].dataset.encoded.hospitals.tolist()) <= set(split.train)
    assert set(parts[4].dataset.encoded.hospitals.tolist()) <= set(split.test)


def test_who_seeds_torch_decides_the_order(dealt: Path) -> None:
    train = load_partition_data_eicu(spec(dealt / SITE))[3]
    orders = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        orders.append(torch.cat([features["values"][:, 0, 2] for features, _ in train]).tolist())
    assert orders[0] == orders[1] != orders[2]


def test_the_aggregator_gets_empty_parts() -> None:
    assert load_partition_data_eicu(spec(None)) == (1, 0, 0, [], [], {0: 0}, {0: []}, {0: []}, 2)


def test_the_24_hour_task_sees_at_most_24_hours(dealt: Path) -> None:
    features, _ = next(iter(load_partition_data_eicu(spec(dealt / SITE, task="mortality_24h"))[3]))
    assert not features["ids"][:, 24:].any()
    assert features["ids"][:, :24].any()


def test_ranges_from_the_configuration_replace_the_clinical_ones(dealt: Path) -> None:
    usual = load_partition_data_eicu(spec(dealt / SITE))[4].dataset.encoded
    other = load_partition_data_eicu(spec(dealt / SITE, ranges={"age": [0, 100]}))[4].dataset.encoded
    real = (usual.ids != 0).any(2)
    ages = (usual.values[..., 2][real] + 1) / 2 * (89 - 18) + 18
    assert torch.allclose(other.values[..., 2][real], ages / 50 - 1, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"tasks": "x"}, "tasks: unknown"),
        ({"task": "recovery"}, "task: 'recovery'"),
        ({"variant": ["benchmark"]}, "variant: "),
        ({"ranges": {"age": [89, 18]}}, "ranges.age"),
        ({"ranges": {"haste": [0, 1]}}, "ranges.haste: unknown"),
        ({"ranges": 3}, "ranges: 3"),
    ],
)
def test_options_that_are_not_known_are_refused_also_on_the_aggregator(options: dict[str, object], told: str) -> None:
    with pytest.raises(EicuDataError, match=told):
        load_partition_data_eicu(spec(None, **options))


def hospitals_of(folder: Path, status: str) -> list[int]:
    """Return hospitals all of whose stays ended so, or that have a stay that did not if status is ``mixed``."""
    patients = pl.read_csv(folder / "patient.csv.gz", infer_schema=False)
    ends = patients.group_by("hospitalid").agg((pl.col("hospitaldischargestatus") == "Expired").any().alias("deaths"))
    return [int(one) for one in ends.filter(pl.col("deaths") == (status == "Expired"))["hospitalid"]]


def test_one_class_in_training_is_refused_and_names_the_site(site: Path) -> None:
    quiet, deadly = hospitals_of(site, "Alive"), hospitals_of(site, "Expired")
    SiteHospitals(tuple(quiet), tuple(deadly), "synthetic").write(site)
    with pytest.raises(OneClassOnly, match=r"hospital-a: all \d+ training stays have the label 0"):
        load_partition_data_eicu(spec(site))


def test_one_class_in_the_held_out_part_is_allowed(site: Path) -> None:
    quiet, deadly = hospitals_of(site, "Alive"), hospitals_of(site, "Expired")
    SiteHospitals(tuple(deadly), tuple(quiet), "synthetic").write(site)
    assert load_partition_data_eicu(spec(site))[2] > 0


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_part_without_stays_is_refused_and_names_the_site(site: Path, part: str) -> None:
    split = json.loads((site / "hospitals.json").read_text())
    split[part] = [999_999]
    (site / "hospitals.json").write_text(json.dumps(split))
    with pytest.raises(EmptyTable, match=f"hospital-a: none of the {part} hospitals"):
        load_partition_data_eicu(spec(site))


@pytest.mark.parametrize(
    "text", ["", "[]", '{"train": [1], "test": []}', '{"train": [1], "test": [1], "source": "x"}', '{"train": ["a"]}']
)
def test_a_hospitals_file_that_makes_no_sense_is_refused_and_names_the_site(site: Path, text: str) -> None:
    (site / "hospitals.json").write_text(text)
    with pytest.raises(UnusableSplit, match="hospital-a"):
        load_partition_data_eicu(spec(site))


def test_all_stays_too_short_is_an_empty_cohort_that_says_which_rule_emptied_it(site: Path) -> None:
    charting = pl.read_csv(site / "nurseCharting.csv.gz", infer_schema=False).head(5)
    labs = pl.read_csv(site / "lab.csv.gz", infer_schema=False).head(5)
    for name, table in (("nurseCharting", charting), ("lab", labs)):
        (site / f"{name}.csv.gz").unlink()
        table.write_csv(site / f"{name}.csv")
    with pytest.raises(EmptyTable, match="0 after '15 to 200 hourly rows'"):
        load_partition_data_eicu(spec(site))
