"""The price table of the package, and one of the user's own."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from infra.cost import BadPrices, Prices
from infra.cost.table import UNITS
from infra.federation import catalog


def test_the_table_has_a_date_and_a_page_of_awss_for_each_price() -> None:
    table = Prices.read()
    date.fromisoformat(table.date)
    entries = [*table.everywhere.values(), *(price for things in table.regions.values() for price in things.values())]
    assert len(entries) > 20
    assert {price.page.split("/")[2] for price in entries} == {"aws.amazon.com"}
    assert table.left_out


def test_the_table_has_only_types_and_regions_that_there_are() -> None:
    table = Prices.read()
    types = {
        thing.removeprefix("instance/") for things in table.regions.values() for thing in things if "instance/" in thing
    }
    assert types <= set(catalog.instance_types())
    assert set(table.regions) <= set(catalog.regions())


def test_what_is_free_is_listed_and_what_is_not_listed_is_none() -> None:
    table = Prices.read()
    free = {thing for things in table.regions.values() for thing, price in things.items() if not price.usd}
    assert free == {"transfer/same-zone"}
    assert table.of("us-east-1", "instance/p5.48xlarge") is None
    assert table.of("eu-central-1", "kms-key") is not None


def test_a_table_of_ones_own_stands_over_the_packages(tmp_path: Path) -> None:
    own = tmp_path / "own.json"
    entry = {"volume/gp3": {"price": "0.0952", "unit": "GB-month"}}
    own.write_text(json.dumps({"date": "2026-12-01", "regions": {"eu-central-1": entry}}))
    table = Prices.read(own)
    found = table.of("eu-central-1", "volume/gp3")
    assert found is not None
    assert found.usd == Decimal("0.0952")
    assert table.of("us-east-1", "volume/gp3") == Prices.read().of("us-east-1", "volume/gp3")
    assert table.date == f"{Prices.read().date}, and own.json of 2026-12-01"


VOLUME = {"price": "0.0952", "unit": "GB-month"}


def table(things: Any = None, **top: Any) -> str:
    """Return a table of one Region's prices; ``top`` changes what stands beside them."""
    things = {"volume/gp3": VOLUME} if things is None else things
    return json.dumps({"date": "2026-12-01", "regions": {"eu-central-1": things}} | top)


def refusal(folder: Path, text: str) -> str:
    own = folder / "own.json"
    own.write_text(text)
    with pytest.raises(BadPrices) as caught:
        Prices.read(own)
    assert "Its form: " in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "own.json is no JSON: "),
        ('{"date": "2026-12-01"', "own.json is no JSON: "),
        ("[]", "own.json: [] is no price table."),
        ("{}", "own.json: date is missing."),
        ('{"date": 1}', "own.json  date: 1 is no day."),
        (table(date="yesterday"), "own.json  date: yesterday is no day."),
        (table(date="2026-13-01"), "own.json  date: 2026-13-01 is no day."),
        ('{"date": "2026-12-01"}', "own.json: it has no price."),
        (table(region={}), "region is no key of it."),
        (table(currency="EUR"), "own.json  currency: EUR is no currency of this table."),
        (table(left_out="taxes"), "own.json  left_out: taxes is no list of texts."),
        (table(regions=[]), "own.json  regions: [] is no object."),
        (table(regions={"Frankfurt": {}}), "own.json  regions: Frankfurt is no Region."),
        (table([]), "own.json  regions.eu-central-1: [] is no object."),
        (table({"volumes/gp3": VOLUME}), "regions.eu-central-1: volumes/gp3 is nothing that has a price here."),
        (table({"volume/gp3": "0.0952"}), "regions.eu-central-1.volume/gp3: 0.0952 is no object."),
        (table({"volume/gp3": {"unit": "GB-month"}}), "regions.eu-central-1.volume/gp3: price is missing."),
        (table({"volume/gp3": {"price": 1}}), "regions.eu-central-1.volume/gp3: unit is missing."),
        (table({"volume/gp3": VOLUME | {"usd": 1}}), "regions.eu-central-1.volume/gp3: usd is no key of it."),
        # It would be taken for a price of a month, and cost a 730th.
        (table({"nat-gateway": {"price": 1, "unit": "hours"}}), "nat-gateway.unit: hours is not what the estimate"),
        *(
            (table({"volume/gp3": VOLUME | {"price": price}}), "regions.eu-central-1.volume/gp3.price: ")
            for price in ("much", "-1", "NaN", "Infinity", "1e999", True, None, [])
        ),
        (table(everywhere={"kms-key": {"price": "1", "unit": "hour"}}), "own.json  everywhere.kms-key.unit: hour"),
    ],
)
def test_a_file_that_is_no_table_is_refused_with_what_was_found_and_where(
    tmp_path: Path, text: str, found: str
) -> None:
    assert found in refusal(tmp_path, text)


def test_all_faults_of_a_table_are_told_at_once_with_what_is_allowed(tmp_path: Path) -> None:
    said = refusal(tmp_path, table({"nat-gatway": VOLUME, "volume/gp3": VOLUME | {"price": -1}}, date=1))
    assert 'A text such as "2026-11-26".' in said
    assert "Did you mean nat-gateway?" in said
    assert "a number that is not negative" in said


def test_every_thing_that_the_estimate_asks_for_may_stand_in_a_table(tmp_path: Path) -> None:
    things = {thing: {"price": 1, "unit": unit} for thing, unit in UNITS.items()}
    things["instance/g4dn.xlarge"] = {"price": 0.5, "unit": "hour"}
    own = tmp_path / "own.json"
    own.write_text(table(things, currency="USD", note="ours", left_out=["taxes"]))
    read = Prices.read(own)
    assert all(read.of("eu-central-1", thing) is not None for thing in things)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadPrices, match="cannot be read"):
        Prices.read(tmp_path / "none.json")
