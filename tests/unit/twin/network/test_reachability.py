"""What the model intends, how it is compared with what was measured, and how that is shown."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import pytest
from pictures import FL_PORT, federation

from infra.local.twin.network.reachability import (
    Edge,
    Matrix,
    Measured,
    NotAsIntended,
    Place,
    Report,
    as_json,
    as_markdown,
    as_svg,
    as_text,
    compare,
    intended,
)

HUB, ONE, TWO = (Place("fed", node, "node") for node in ("aggregator", "hospital-1", "hospital-2"))


def as_meant() -> list[Measured]:
    """Return what would be measured if everything that is intended opens, and hospitals do not reach each other."""
    opened = [Measured(edge.source, edge.target, "", edge.port, "open") for edge in intended(federation())]
    shut = [Measured(one, other, "", FL_PORT, "silent") for one, other in ((ONE, TWO), (TWO, ONE), (HUB, ONE))]
    return [*opened, *shut]


def report(*changes: Measured, without: Edge | None = None) -> Report:
    """Compare what is meant, with some connections measured otherwise, or one not at all."""
    changed = {(found.source, found.target, found.port): found for found in (*as_meant(), *changes)}
    if without is not None:
        del changed[without.source, without.target, without.port]
    return compare(federation(), Matrix(tuple(changed.values()), 1.0, "a few"))


def test_intended_are_the_fl_port_the_own_endpoints_ssh_by_the_own_endpoint_and_what_aws_gives() -> None:
    def around(node: Place) -> set[Edge]:
        return {
            Edge(node, replace(node, kind="endpoint"), 443),
            Edge(node, replace(node, kind="resolver"), 53),
            Edge(node, replace(node, kind="metadata"), 80),
            Edge(replace(node, kind="connect"), node, 22),
        }

    fl = {Edge(ONE, HUB, FL_PORT), Edge(TWO, HUB, FL_PORT)}
    assert intended(federation()) == fl | around(HUB) | around(ONE) | around(TWO)


def test_all_as_intended_passes() -> None:
    report().check()
    assert report().differences == ()


def test_a_way_between_hospitals_is_an_error_that_names_both_and_the_port() -> None:
    with pytest.raises(NotAsIntended) as error:
        report(Measured(ONE, TWO, "", FL_PORT, "open")).check()
    assert "hospital-1 → hospital-2, TCP 8890: open, and is to be closed." in str(error.value)
    assert error.value.exit_code == 6


def test_a_port_that_is_reached_though_nobody_listens_is_open() -> None:
    assert len(report(Measured(ONE, TWO, "", FL_PORT, "refused")).differences) == 1


def test_a_site_that_does_not_reach_the_aggregator_is_an_error() -> None:
    with pytest.raises(NotAsIntended, match="hospital-1 → aggregator, TCP 8890: closed, and is to be open"):
        report(Measured(ONE, HUB, "", FL_PORT, "silent")).check()


def test_what_was_not_measured_is_an_error_and_no_success() -> None:
    with pytest.raises(NotAsIntended, match="hospital-2 → aggregator, TCP 8890: not there, and is to be open"):
        report(without=Edge(TWO, HUB, FL_PORT)).check()


def test_each_endpoint_is_told_by_its_service_and_meant_by_its_vpc() -> None:
    endpoint = replace(ONE, kind="endpoint", service="logs")
    found = report(Measured(ONE, endpoint, "", 443, "open"), Measured(TWO, endpoint, "", 443, "open"))
    assert [(row.source, row.target) for row in found.differences] == [(TWO, endpoint)]
    assert "hospital-2 → hospital-1's endpoint logs, TCP 443" in str(NotAsIntended(found.differences))


def test_another_federation_counts_where_it_touches_this_one() -> None:
    other = [Place("other", node, "node") for node in ("aggregator", "hospital-1")]
    among_themselves = Measured(other[1], other[0], "", FL_PORT, "open")
    assert report(among_themselves).differences == ()
    into_this_one = Measured(other[1], HUB, "", FL_PORT, "open")
    assert [row.source for row in report(into_this_one).differences] == [other[1]]


def test_many_differences_are_counted_after_the_first_ten() -> None:
    wrong = [Measured(ONE, TWO, "", port, "open") for port in range(1, 16)]
    with pytest.raises(NotAsIntended, match=r"… and 5 more\."):
        report(*wrong).check()


def test_the_table_begins_with_what_differs_and_joins_what_is_alike() -> None:
    closed = [Measured(HUB, TWO, "", port, "silent") for port in (22, FL_PORT)]
    text = as_text(report(*closed, Measured(TWO, ONE, "", FL_PORT, "open")))
    lines = text.splitlines()
    assert lines[2].split() == ["hospital-2", "hospital-1", "8890", "closed", "open", "DIFFERS"]
    assert any(
        line.split() == ["aggregator", "hospital-2", "22,", "8890", "closed", "closed", "as", "intended"]
        for line in lines
    )
    assert "1 NOT as intended" in text


def test_a_long_table_shows_what_opens_and_counts_the_rest() -> None:
    shut = [Measured(ONE, Place("fed", f"hospital-{n}", "node"), "", FL_PORT, "silent") for n in range(10, 300)]
    found = report(*shut)
    assert "hospital-200" not in as_text(found)
    assert "hospital-200" in as_text(found, full=True)
    assert f"{len(shut) + 3} closed: all as intended" in as_text(found)


def test_the_markdown_is_a_table() -> None:
    lines = as_markdown(report()).splitlines()
    assert lines[0] == "# Reachability of fed"
    rows = [line for line in lines if line.startswith("|")]
    assert {line.count("|") for line in rows} == {7}


def test_the_json_has_every_row() -> None:
    found = report(Measured(TWO, ONE, "", FL_PORT, "open"))
    told = json.loads(as_json(found))
    assert told["as_intended"] is False
    assert len(told["rows"]) == len(found.rows)
    assert {
        "source": "hospital-2",
        "target": "hospital-1",
        "port": FL_PORT,
        "intended": "closed",
        "measured": "open",
        "as_intended": False,
    } in told["rows"]


def lines_of(found: Report, kind: str) -> int:
    tree = ElementTree.fromstring(as_svg(found))
    return len(tree.findall(f".//{{http://www.w3.org/2000/svg}}line[@class='{kind}']"))


def test_the_picture_has_a_green_line_for_each_site_and_a_red_one_for_a_difference() -> None:
    assert (lines_of(report(), "open"), lines_of(report(), "differs")) == (2, 0)
    wrong = report(Measured(TWO, ONE, "", FL_PORT, "open"))
    assert (lines_of(wrong, "open"), lines_of(wrong, "differs")) == (2, 1)
    assert "hospital-2 → hospital-1, TCP 8890: open, and is to be closed" in as_svg(wrong)


def test_names_cannot_break_the_picture() -> None:
    strange = replace(report(), federation="<b>&")
    assert ElementTree.fromstring(as_svg(strange)) is not None
