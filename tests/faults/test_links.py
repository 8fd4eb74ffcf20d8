"""A site's link is slow, or cut for a while or for ever: the others go on, and the site is back when the link is."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from fault_federation import FaultFederation, let_pass, sizes
from fault_running import DEADLINE, LATE, SITES, Running
from fault_table import Tell
from fl_processes import wait_until
from relay import Relay

pytestmark = [pytest.mark.faults, pytest.mark.integration, pytest.mark.timeout(300)]
Make = Callable[..., FaultFederation]

#: Keepalive finds a dead link within 13 s: the first cut is not noticed by it, the second is.
CUTS = sizes((5.0, 20.0), (5.0, 60.0))


@pytest.mark.parametrize("seconds", CUTS)
def test_a_link_that_is_cut_for_a_while(running: Running, tell: Tell, seconds: float) -> None:
    running.ways["site-b"].cut()
    let_pass(seconds - DEADLINE)
    closed = running.closes_without("site-b", rounds=1)
    let_pass(DEADLINE - 1)
    running.ways["site-b"].mend()
    back = running.is_back("site-b")
    running.no_round_is_missing()
    tell(
        f"link cut for {seconds:g} s",
        f"the others close rounds in {max(one['seconds'] for one in closed):.1f} s (deadline {DEADLINE:g} s); "
        "the site answers again",
        seconds=back,
    )


def test_a_latency_of_200_ms_each_way(running: Running, tell: Tell) -> None:
    for way in running.ways.values():
        way.latency = 0.2
    began = running.round + 2
    wait_until(lambda: running.round >= began + 4, what="four rounds")
    records = running.records(began)
    assert all(record["answered"] == list(SITES) for record in records), records
    seconds = sum(record["seconds"] for record in records) / len(records)
    assert 0.4 <= seconds <= DEADLINE
    tell("latency of 200 ms each way", "every site is in every round", seconds=seconds)


def test_a_link_that_is_cut_for_ever(make_federation: Make, tell: Tell) -> None:
    rounds = sizes(6, 12)
    run = make_federation(rounds=rounds, pause=0.05, quorum=2, round_deadline_seconds=DEADLINE)
    way = Relay(run.port)
    run.ways["site-c"] = way.port
    run.start_all()
    wait_until(lambda: run.round >= 2, seconds=120, what="round 2")
    way.cut()
    for node in ("aggregator", "site-a", "site-b"):
        assert run.exit_code(node, 120) == 0, run.log(node)
    records = run.rounds()
    assert [record["round"] for record in records] == list(range(rounds))
    without = [record for record in records if "site-c" not in record["answered"]]
    assert len(without) >= rounds - 4
    assert all(record["answered"] == ["site-a", "site-b"] for record in without)
    assert all(record["seconds"] <= DEADLINE + LATE for record in without)
    assert "no good-bye from site-c; ending without" in run.log("aggregator")
    run.terminate("site-c")
    assert run.exit_code("site-c", 20) == 130, run.log("site-c")
    way.close()
    tell(
        "link cut for ever",
        f"the others finish; {len(without)} of {rounds} rounds are recorded without the site",
        seconds=max(record["seconds"] for record in without),
    )
