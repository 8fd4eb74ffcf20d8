"""The table of what has crossed the peerings."""

from __future__ import annotations

from typing import Any

from infra.cli.flows import table


def flow(**changes: Any) -> dict[str, Any]:
    return {
        "peering": "pcx-1",
        "between": ["hospital-a", "aggregator"],
        "source": "10.10.0.10",
        "destination": "10.30.0.10",
        "protocol": "tcp",
        "port": 8890,
        "packets": 1200,
        "bytes": 1234567,
        "direction": "out",
        **changes,
    }


def test_each_flow_is_a_line_with_both_ends_by_name_in_the_packets_direction() -> None:
    back = {"source": "10.30.0.10", "destination": "10.10.0.10", "direction": "in", "bytes": 99}
    lines = table([flow(), flow(**back)]).splitlines()
    assert [line.split() for line in lines[1:]] == [
        ["pcx-1", "hospital-a", "(10.10.0.10)", "aggregator", "(10.30.0.10)", "tcp", "8890", "1,200", "1,234,567"],
        ["pcx-1", "aggregator", "(10.30.0.10)", "hospital-a", "(10.10.0.10)", "tcp", "8890", "1,200", "99"],
    ]
    assert lines[0].split() == ["peering", "from", "to", "protocol", "port", "packets", "bytes"]
    assert len({len(line) for line in lines}) == 1


def test_what_was_counted_without_a_name_has_neither_address_nor_port() -> None:
    other = flow(source="", destination="", protocol="other", port=0, packets=2, bytes=168)
    assert table([other]).splitlines()[1].split() == ["pcx-1", "hospital-a", "aggregator", "other", "2", "168"]


def test_nothing_is_said_in_words() -> None:
    assert table([]) == "Nothing has crossed a peering."
