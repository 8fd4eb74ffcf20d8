"""Hospitals to sites and to train and test: balanced, seeded, and never a patient on two sides."""

import polars as pl
import pytest

from fl_app.eicu.errors import UnusableSplit
from fl_app.eicu.partition import Unit, assert_disjoint, deal_to_sites, split, train_and_test, units_of

UNITS = [Unit((number,), 10 + number % 7, 1 + number % 3) for number in range(40)]


def hospitals(units: list[Unit]) -> set[int]:
    return {hospital for unit in units for hospital in unit.hospitals}


def test_every_hospital_is_dealt_once() -> None:
    sides = deal_to_sites(UNITS, ["a", "b", "c"], 0, {})
    assert sorted(hospital for units in sides.values() for hospital in hospitals(units)) == list(range(40))


@pytest.mark.parametrize("seed", range(10))
def test_stays_and_deaths_come_near_their_shares(seed: int) -> None:
    for shares in ({"a": 0.5, "b": 0.5}, {"train": 0.75, "test": 0.25}):
        sides = split(UNITS, shares, seed)
        for attribute in ("stays", "deaths"):
            total = sum(getattr(unit, attribute) for unit in UNITS)
            for side, share in shares.items():
                assert sum(getattr(unit, attribute) for unit in sides[side]) == pytest.approx(share * total, rel=0.12)


def test_the_seed_decides_and_the_order_of_the_seed_s_deal_is_its_own() -> None:
    first, again, other = (split(UNITS, {"a": 0.5, "b": 0.5}, seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_an_explicit_assignment_is_honoured_and_the_others_share_the_rest() -> None:
    sides = deal_to_sites(UNITS, ["a", "b", "c"], 0, {"b": [3, 5]})
    assert hospitals(sides["b"]) == {3, 5}
    assert hospitals(sides["a"]) | hospitals(sides["c"]) == set(range(40)) - {3, 5}


@pytest.mark.parametrize(
    ("assigned", "told"),
    [
        ({"a": [1], "b": [1]}, "hospital 1 is assigned to a and to b"),
        ({"a": [99]}, "hospital 99 is assigned to a, but no stay is from it"),
        ({"z": [1]}, "assigned to z, which is no site"),
    ],
)
def test_an_assignment_that_cannot_be_is_refused(assigned: dict[str, list[int]], told: str) -> None:
    with pytest.raises(UnusableSplit, match=told):
        deal_to_sites(UNITS, ["a", "b"], 0, assigned)


def test_an_assignment_that_separates_a_patient_s_hospitals_is_refused() -> None:
    with pytest.raises(UnusableSplit, match="share a patient"):
        deal_to_sites([Unit((1, 2), 5, 1), *UNITS[5:]], ["a", "b"], 0, {"a": [1]})


def test_hospitals_that_share_a_patient_are_one_unit_also_over_a_third() -> None:
    stays = [(1, 10, "p"), (2, 20, "p"), (3, 20, "q"), (4, 30, "q"), (5, 40, "r")]
    patients = pl.DataFrame(
        [(*stay, "Expired", 3000) for stay in stays],
        schema=["patientunitstayid", "hospitalid", "uniquepid", "hospitaldischargestatus", "unitdischargeoffset"],
        orient="row",
    )
    assert units_of(patients, patients) == [Unit((10, 20, 30), 4, 4), Unit((40,), 1, 1)]


@pytest.mark.parametrize("number", [2, 3, 4])
def test_a_site_of_few_hospitals_still_holds_one_with_stays_out(number: int) -> None:
    few = [Unit((hospital,), 5, 1) for hospital in range(number)] + [Unit((9,), 0, 0)]
    for seed in range(5):
        train, test = train_and_test(few, 0.1, seed, "hospital-a")
        assert set(train) - {9}
        assert set(test) - {9}


def test_more_sites_than_units_is_refused() -> None:
    with pytest.raises(UnusableSplit, match="nothing is left for"):
        deal_to_sites(UNITS[:2], ["a", "b", "c"], 0, {})


def test_a_site_of_one_hospital_cannot_hold_any_out() -> None:
    with pytest.raises(UnusableSplit, match="hospital-a has 1 hospital"):
        train_and_test(UNITS[:1], 0.25, 0, "hospital-a")


@pytest.mark.parametrize("column", ["patientunitstayid", "uniquepid", "hospitalid"])
def test_sides_that_share_anything_are_refused_and_disjoint_ones_are_not(column: str) -> None:
    one = pl.DataFrame({"patientunitstayid": [1], "uniquepid": ["p"], "hospitalid": [10]})
    two = pl.DataFrame({"patientunitstayid": [2], "uniquepid": ["q"], "hospitalid": [20]})
    assert_disjoint({"a": one, "b": two})
    with pytest.raises(UnusableSplit, match=f"{column} .* is in a and in b"):
        assert_disjoint({"a": one, "b": two.with_columns(one[column])})
