"""The view of a training run: what is shown of each node, of the rounds, and for how long."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import pytest
from rich.console import Console

from infra.cli.progress import Pace, line, snapshot, view, watch

States = Mapping[str, Mapping[str, Any] | None]


def running(number: int, *, rounds: int = 50, **progress: Any) -> dict[str, Any]:
    return {"state": "running", "reason": None, "progress": {"round": number, "rounds": rounds, **progress}}


def at(states: States, records: list[dict[str, Any]] | None = None, elapsed: float = 0.0) -> Any:
    return snapshot(states, records or [], elapsed=elapsed, pace=Pace())


def shown(moment: Any) -> str:
    stream = io.StringIO()
    Console(file=stream, width=120).print(view(moment, "Training eicu"))
    return stream.getvalue()


def test_a_round_counts_as_done_when_the_next_one_is_under_way() -> None:
    assert at({"aggregator": running(0)}).done == 0
    assert at({"aggregator": running(12)}).done == 12


def test_a_finished_aggregator_has_done_all_rounds() -> None:
    state = {"state": "finished", "progress": {"round": 49, "rounds": 50}}
    moment = at({"aggregator": state})
    assert (moment.done, moment.is_over) == (50, True)


@pytest.mark.parametrize("state", ["failed", "stopped"])
def test_watching_ends_when_the_aggregator_is_through_without_success(state: str) -> None:
    assert at({"aggregator": {"state": state}}).is_over


def test_watching_does_not_end_because_a_site_failed() -> None:
    assert not at({"aggregator": running(3), "hospital-a": {"state": "failed"}}).is_over


def test_what_a_node_waits_for_is_said_by_name() -> None:
    moment = at({"aggregator": running(3, phase="collecting", waiting_for=["hospital-b"])})
    assert "waits for hospital-b" in shown(moment)


def test_the_reason_of_a_failure_stands_beside_the_node() -> None:
    moment = at({"aggregator": None, "hospital-a": {"state": "failed", "reason": "data/: no patient table"}})
    assert "data/: no patient table" in shown(moment)
    assert "silent" in shown(moment)  # the aggregator never published anything
    assert "hospital-a failed (data/: no patient table)" in line(moment)


def test_the_last_metrics_are_those_of_the_newest_record_unless_the_node_says_newer_ones() -> None:
    records = [{"round": 0, "rounds": 50, "federated": {"auroc": 0.7, "test_loss": 0.5}}]
    assert at({"aggregator": None}, records).metrics == {"auroc": 0.7, "loss": 0.5}
    newer = at({"aggregator": running(2, metrics={"auroc": 0.72, "loss": None})}, records)
    assert newer.metrics == {"auroc": 0.72}


def test_what_is_left_is_the_rounds_to_go_at_the_pace_seen() -> None:
    pace = Pace()
    assert pace.remaining(0.0, 10, 50) is None
    assert pace.remaining(5.0, 20, 50) == pytest.approx(15.0)  # 10 rounds in 5 s, 30 to go
    assert pace.remaining(6.0, 20, 50) == pytest.approx(14.0)  # a second later, none closed since


def test_a_line_says_rounds_metrics_time_and_every_node() -> None:
    moment = at({"aggregator": running(12, metrics={"auroc": 0.741}), "hospital-a": running(12)}, elapsed=61.0)
    assert line(moment) == (
        "   61.0 s  12/50 rounds  AUROC 0.741  1:01 elapsed  |  aggregator running, hospital-a running"
    )


class Story:
    """States that follow one another, one per look, and a clock that waiting moves."""

    def __init__(self, *moments: States) -> None:
        self._moments = list(moments)
        self.now = 0.0

    def read(self) -> States:
        return self._moments.pop(0) if len(self._moments) > 1 else self._moments[0]

    def clock(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds


def test_without_a_terminal_there_is_a_line_per_interval_and_one_at_each_change_of_state() -> None:
    story = Story(
        {"aggregator": {"state": "waiting"}},
        *({"aggregator": running(number)} for number in range(12)),
        {"aggregator": {"state": "finished", "progress": {"round": 12, "rounds": 12}}},
    )
    stream = io.StringIO()
    console = Console(file=stream, width=10_000)
    last = watch(story.read, title="Training", line_seconds=5.0, console=console, clock=story.clock, wait=story.wait)
    seconds = [text.split(" s ")[0].strip() for text in stream.getvalue().splitlines()[1:]]
    assert seconds == ["0.0", "1.0", "6.0", "11.0", "13.0"]
    assert last.is_over


def test_in_a_terminal_the_end_stays_on_the_screen() -> None:
    story = Story({"aggregator": running(3)}, {"aggregator": {"state": "finished", "progress": {"rounds": 50}}})
    stream = io.StringIO()
    console = Console(file=stream, width=120, force_terminal=True, _environ={"TERM": "xterm"}, color_system=None)
    watch(story.read, title="Training", console=console, clock=story.clock, wait=story.wait)
    assert "50/50 rounds" in stream.getvalue().split("Training")[-1]


def test_ctrl_c_ends_the_watching_and_gives_the_terminal_back() -> None:
    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    stream = io.StringIO()
    console = Console(file=stream, width=120, force_terminal=True, _environ={"TERM": "xterm"}, color_system=None)
    with pytest.raises(KeyboardInterrupt):
        watch(lambda: {"aggregator": running(3)}, title="Training", console=console, wait=interrupted)
    assert stream.getvalue().count("\x1b[?25h") == 1
