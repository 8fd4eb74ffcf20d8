"""A node is killed, frozen, asked to end, or has a clock that jumps: the others go on, and it is back by itself."""

from __future__ import annotations

import random
import signal
import time

import pytest
from fault_federation import SEED, let_pass, sizes
from fault_running import DEADLINE, SITES, Running
from fault_table import Tell
from fl_processes import wait_until

pytestmark = [pytest.mark.faults, pytest.mark.integration, pytest.mark.timeout(sizes(300, 600))]

CLIENT_KILLS = sizes(2, 9)
DAY = 86400.0


def connections(running: Running, site: str) -> int:
    return running.federation.log("aggregator").count(f"{site} is connected")


def test_a_client_that_is_killed_at_any_moment(running: Running, tell: Tell) -> None:
    chance, moments, backs, rounds_until_back = random.Random(SEED), [], [], []
    for number in range(CLIENT_KILLS):
        site = SITES[number % len(SITES)]
        moments.append(round(chance.uniform(0.0, 1.0), 4))
        let_pass(moments[-1])
        running.federation.kill(site)
        running.closes_without(site)
        known = connections(running, site)
        running.federation.start(site)
        wait_until(lambda s=site, k=known: connections(running, s) > k, seconds=120, what=f"{site} connected")
        connected = running.round
        backs.append(running.is_back(site))
        found = running.answered_by(site, since=connected)
        rounds_until_back.append(found["round"] - connected if found else None)
        wait_until(lambda r=running.round: running.answered_by(*SITES, since=r), what="a round of all sites")
    running.no_round_is_missing()
    assert set(rounds_until_back) <= {0, 1}, rounds_until_back
    tell(
        f"kill -9 of a client, {CLIENT_KILLS} times",
        f"the others close rounds by the deadline of {DEADLINE:g} s; it is back in the round that it finds or the next",
        seconds=max(backs),
        seed=SEED,
        moments=moments,
    )


def test_a_client_that_is_frozen(running: Running, tell: Tell) -> None:
    frozen = sizes(16.0, 40.0)  # longer than keepalive takes to find it dead
    running.federation.signal("site-b", signal.SIGSTOP)
    let_pass(frozen)
    running.closes_without("site-b")
    assert "site-b has lost its connection" in running.federation.log("aggregator")
    running.federation.signal("site-b", signal.SIGCONT)
    back = running.is_back("site-b")
    running.no_round_is_missing()
    tell(f"client frozen (SIGSTOP) for {frozen:g} s", "the others go on; it answers again", seconds=back)


def test_a_client_that_is_asked_to_end_in_a_round(running: Running, tell: Tell) -> None:
    began = time.monotonic()
    running.federation.terminate("site-b")
    assert running.federation.exit_code("site-b", 15) == 130
    seconds = time.monotonic() - began
    running.closes_without("site-b")
    running.federation.start("site-b")
    running.is_back("site-b", 120)
    running.no_round_is_missing()
    tell(
        "SIGTERM to a client in a round",
        "it ends with 130; the others go on; started again, it is back",
        seconds=seconds,
    )


def test_a_server_that_is_asked_to_end_in_a_round(running: Running, tell: Tell) -> None:
    began = time.monotonic()
    running.federation.terminate("aggregator")
    assert running.federation.exit_code("aggregator", 15) == 130
    seconds = time.monotonic() - began
    assert all(running.federation.runs(site) for site in SITES)
    stood_at = running.round
    running.federation.start("aggregator")
    running.federation.wait_until_open()
    assert "going on at round" in running.federation.log("aggregator")
    wait_until(lambda: running.answered_by(*SITES, since=stood_at), what="the round that was open")
    running.no_round_is_missing()
    tell("SIGTERM to the server in a round", "it ends with 130; started again, it goes on", seconds=seconds)


@pytest.mark.parametrize("days", [1, -1])
def test_clocks_that_jump_by_a_day(running: Running, tell: Tell, days: int) -> None:
    for node, shift in (("aggregator", days), ("site-a", -days)):
        running.federation.marks[node]["clock"] = shift * DAY
    began = running.round + 1
    wait_until(lambda: running.round >= began + 4, what="four rounds")
    records = running.records(began)
    assert all(record["answered"] == list(SITES) for record in records), records
    assert all(0 <= record["seconds"] <= DEADLINE for record in records)
    running.federation.signal("site-c", signal.SIGSTOP)  # the deadline still works
    running.closes_without("site-c", rounds=1)
    for node in ("aggregator", "site-a"):
        running.federation.marks[node]["clock"] = 0.0
    running.no_round_is_missing()
    tell(f"the server's clock jumps by {days:+d} day, a site's the other way", "rounds and deadlines go on")
