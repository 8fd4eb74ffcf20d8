"""Training as it is seen from a terminal: which node does what, how far the rounds are, how good the model is.

A picture of one moment is a :class:`Snapshot`; :func:`view` and :func:`line` show it and :func:`watch` takes one after
the other until the aggregator is through. What the nodes say is read by callables, so this works at every depth.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from infra.federation.derive import AGGREGATOR_ID
from infra.progress import Cell, Status, is_live, live_console, styled

#: A node's published state to how it is shown.
_STATUS = {
    "booting": Status.BUSY,
    "ready": Status.DONE,
    "waiting": Status.WAITING,
    "running": Status.BUSY,
    "finished": Status.DONE,
    "stopped": Status.WAITING,
    "failed": Status.FAILED,
}
_OVER = ("finished", "failed", "stopped")
_METRICS = (("auroc", "AUROC"), ("loss", "loss"))
#: The pace is that of the last so many seconds of observation at most.
_PACE_SECONDS = 30.0
_FRAMES_PER_SECOND = 4

ReadStates = Callable[[], Mapping[str, Mapping[str, Any] | None]]


@dataclass(frozen=True, slots=True)
class NodeView:
    """One node's line: ``does`` says in words what it does, waits for, or failed at."""

    id: str
    state: str
    round: int | None
    does: str
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One moment. ``done`` and ``rounds`` count rounds; ``remaining`` and ``elapsed`` are seconds."""

    nodes: tuple[NodeView, ...]
    done: int
    rounds: int | None
    metrics: Mapping[str, float]
    elapsed: float
    remaining: float | None

    @property
    def is_over(self) -> bool:
        """Whether the aggregator is through, with or without success."""
        return any(node.id == AGGREGATOR_ID and node.state in _OVER for node in self.nodes)


class Pace:
    """How fast rounds are closed, from when they were seen to be."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def remaining(self, now: float, done: int, rounds: int | None) -> float | None:
        """Return the seconds that the rest will take at the present pace, or None where there is none yet."""
        if not self._seen or done != self._seen[-1][1]:
            self._seen.append((now, done))
        while len(self._seen) > 2 and now - self._seen[0][0] > _PACE_SECONDS:
            self._seen.popleft()
        (start, first), (end, last) = self._seen[0], self._seen[-1]
        if rounds is None or last <= first or end <= start:
            return None
        return max(0.0, (rounds - done) * (end - start) / (last - first) - (now - end))


def snapshot(
    states: Mapping[str, Mapping[str, Any] | None],
    records: Sequence[Mapping[str, Any]],
    *,
    elapsed: float,
    pace: Pace,
) -> Snapshot:
    """Return the moment that the nodes' published states and the round records add up to.

    Args:
        states: node id to what the node published (``state``, ``reason``, ``progress``), None where it never did.
        records: records of ``rounds.jsonl``, as far as they are at hand; may be empty.
        elapsed: seconds since the watching began.
        pace: remembers the moments before.
    """
    nodes = tuple(_node(node, state or {}) for node, state in states.items())
    progress = (states.get(AGGREGATOR_ID) or {}).get("progress") or {}
    last = records[-1] if records else {}
    rounds = progress.get("rounds") or last.get("rounds")
    done = max(int(progress.get("round") or 0), len(records))
    if any(node.id == AGGREGATOR_ID and node.state == "finished" for node in nodes):
        done = rounds or done
    federated = last.get("federated") or {}
    recorded = {"auroc": federated.get("auroc"), "loss": federated.get("test_loss")}
    return Snapshot(
        nodes=nodes,
        done=done,
        rounds=rounds,
        metrics=_numbers(recorded | dict(progress.get("metrics") or {})),
        elapsed=elapsed,
        remaining=pace.remaining(elapsed, done, rounds),
    )


def _node(node: str, state: Mapping[str, Any]) -> NodeView:
    progress = state.get("progress") or {}
    waiting_for = ", ".join(str(name) for name in progress.get("waiting_for") or ())
    does = str(state.get("reason") or "")
    name = str(state.get("state") or "silent")
    if not does and name not in _OVER:
        does = f"waits for {waiting_for}" if waiting_for else str(progress.get("phase") or "")
    is_counting = progress.get("round") is not None and name in ("running", "finished")
    return NodeView(
        id=node,
        state=name,
        round=int(progress["round"]) if is_counting else None,
        does=does,
        metrics=_numbers(progress.get("metrics") or {}),
    )


def _numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in metrics.items() if isinstance(value, int | float)}


def view(moment: Snapshot, title: str, *, frame: int = 0) -> Group:
    """Return the moment as the terminal shows it: the nodes, then a bar over the rounds."""
    table = Table(title=Text(title, style="bold"), title_justify="left", header_style="bold")
    for column in ("node", "state", "round", *(heading for _, heading in _METRICS), "what it does"):
        table.add_column(column, justify="right" if column in ("round", "AUROC", "loss") else "left")
    for node in moment.nodes:
        table.add_row(
            Text(node.id),
            styled(Cell(node.state, _STATUS.get(node.state, Status.WAITING)), frame=frame),
            "" if node.round is None else str(min(node.round + 1, moment.rounds or node.round + 1)),
            *(f"{node.metrics[name]:.3f}" if name in node.metrics else "" for name, _ in _METRICS),
            Text(node.does, overflow="fold"),
        )
    bar = Table.grid(padding=(0, 1))
    bar.add_row(
        ProgressBar(total=moment.rounds or 1, completed=moment.done, width=40), Text(_rounds(moment), style="bold")
    )
    return Group(table, bar)


def line(moment: Snapshot) -> str:
    """Return the moment as one line of text."""
    nodes = ", ".join(f"{node.id} {node.state}" + (f" ({node.does})" if node.does else "") for node in moment.nodes)
    return f"{moment.elapsed:7.1f} s  {_rounds(moment)}  |  {nodes}"


def _rounds(moment: Snapshot) -> str:
    parts = [f"{moment.done}/{moment.rounds} rounds" if moment.rounds else "no round yet"]
    parts += [f"{heading} {moment.metrics[name]:.3f}" for name, heading in _METRICS if name in moment.metrics]
    parts.append(f"{_clock(moment.elapsed)} elapsed")
    if moment.remaining is not None and not moment.is_over:
        parts.append(f"about {_clock(moment.remaining)} left")
    return "  ".join(parts)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def watch(
    read_states: ReadStates,
    *,
    title: str,
    interval_seconds: float = 1.0,
    line_seconds: float = 5.0,
    console: Console | None = None,
    clock: Callable[[], float] = time.monotonic,
    wait: Callable[[float], object] = time.sleep,
) -> Snapshot:
    """Show training until the aggregator is finished, failed or stopped.

    In a terminal the view redraws in place and stays at the end. Elsewhere it is one line every ``line_seconds``, and
    one at once when a node's state changes. Ctrl-C ends the watching and nothing else: the caller sees it.

    Args:
        read_states: node id to the state that the node published, the aggregator first.
        title: heading of the view.
        interval_seconds: time between two looks at the nodes.
        line_seconds: time between two lines where there is no terminal.
        console: where to write; standard error if left out.
        clock: seconds, monotonic.
        wait: how time is spent between two looks.

    Returns:
        The last moment.
    """
    console = console or live_console()
    start = clock()
    pace = Pace()

    def look() -> Snapshot:
        states = read_states()
        return snapshot(states, (), elapsed=clock() - start, pace=pace)

    if is_live(console):
        return _watch_live(look, title, interval_seconds, console, clock, wait)
    console.print(Text(title), soft_wrap=True)
    last_line, last_states = float("-inf"), None
    while True:
        moment = look()
        states = tuple((node.id, node.state) for node in moment.nodes)
        if states != last_states or moment.is_over or moment.elapsed - last_line >= line_seconds:
            console.print(Text(line(moment)), soft_wrap=True)
            last_line, last_states = moment.elapsed, states
        if moment.is_over:
            return moment
        wait(interval_seconds)


def _watch_live(
    look: Callable[[], Snapshot],
    title: str,
    interval_seconds: float,
    console: Console,
    clock: Callable[[], float],
    wait: Callable[[float], object],
) -> Snapshot:
    moment = look()

    def draw() -> Group:
        return view(moment, title, frame=int(clock() * _FRAMES_PER_SECOND))

    with Live(get_renderable=draw, console=console, refresh_per_second=_FRAMES_PER_SECOND):
        while not moment.is_over:
            wait(interval_seconds)
            moment = look()
    return moment
