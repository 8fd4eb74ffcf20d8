"""The live table: in place in a terminal, one line per change elsewhere, JSON for machines."""

from __future__ import annotations

import io
import json
import threading

import pytest
from rich.console import Console

from infra.progress import Cell, LiveTable, Status


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def pipe() -> tuple[Console, io.StringIO]:
    stream = io.StringIO()
    return Console(file=stream, width=10_000, highlight=False), stream


def terminal() -> tuple[Console, io.StringIO]:
    stream = io.StringIO()
    environ = {"TERM": "xterm-256color"}
    return Console(file=stream, width=100, force_terminal=True, _environ=environ, color_system=None), stream


def test_without_a_terminal_each_change_is_one_line_with_the_time_since_the_start() -> None:
    console, stream = pipe()
    clock = Clock()
    with LiveTable("Deploying eicu", ["network"], console=console, clock=clock) as table:
        clock.now = 102.5
        table.update("hospital-a", network=Cell("CREATE_IN_PROGRESS", Status.BUSY))
        clock.now = 109.0
        table.update("hospital-a", network=Cell("CREATE_COMPLETE", Status.DONE))
    assert stream.getvalue().splitlines() == [
        "Deploying eicu",
        "    2.5 s  hospital-a  network: CREATE_IN_PROGRESS",
        "    9.0 s  hospital-a  network: ✓ CREATE_COMPLETE",
    ]


def test_without_a_terminal_a_cell_that_does_not_change_prints_nothing() -> None:
    console, stream = pipe()
    with LiveTable("t", ["state"], console=console) as table:
        table.update("a", state="ready")
        table.update("a", state="ready")
    assert len(stream.getvalue().splitlines()) == 2  # the title and one change


def test_without_a_terminal_no_control_codes_are_written() -> None:
    console, stream = pipe()
    with LiveTable("t", ["state"], console=console) as table:
        table.update("a", state=Cell("broken", Status.FAILED))
    assert "\x1b" not in stream.getvalue()


def test_a_long_line_is_not_wrapped() -> None:
    stream = io.StringIO()
    with LiveTable("t", ["state"], console=Console(file=stream, width=20)) as table:
        table.update("a", state="x" * 200)
    assert "x" * 200 in stream.getvalue()


def test_in_a_terminal_the_last_state_of_every_row_stays_on_the_screen() -> None:
    console, stream = terminal()
    with LiveTable("Deploying", ["network", "node"], rows=["hospital-a", "hospital-b"], console=console) as table:
        table.update("hospital-a", network=Cell("complete", Status.DONE), node=Cell("creating", Status.BUSY))
        table.update("hospital-a", node=Cell("complete", Status.DONE))
    final = stream.getvalue().split("Deploying")[-1]
    assert "hospital-b" in final
    assert final.count("✓ complete") == 2
    assert "creating" not in final


def test_in_a_terminal_a_busy_cell_says_how_long_it_has_been_busy() -> None:
    console, stream = terminal()
    clock = Clock()
    with LiveTable("t", ["node"], console=console, clock=clock) as table:
        table.update("a", node=Cell("creating", Status.BUSY))
        clock.now += 5
        table.update("a", node=Cell("waiting for the instance", Status.BUSY))
        clock.now += 2
    assert "waiting for the instance 7 s" in stream.getvalue()


def test_the_table_stays_on_the_screen_when_the_work_fails() -> None:
    console, stream = terminal()

    def fail() -> None:
        with LiveTable("t", ["node"], console=console) as table:
            table.update("a", node=Cell("ROLLBACK_COMPLETE", Status.FAILED))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert "✗ ROLLBACK_COMPLETE" in stream.getvalue()
    assert stream.getvalue().count("\x1b[?25h") == 1  # the cursor is back


def test_markup_in_a_text_is_shown_and_not_obeyed() -> None:
    console, stream = pipe()
    with LiveTable("t", ["state"], console=console) as table:
        table.update("a", state="[bold]x[/bold]")
        table.say("[red]y")
    assert "[bold]x[/bold]" in stream.getvalue()
    assert "[red]y" in stream.getvalue()


def test_json_is_one_object_per_change_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with LiveTable("t", ["node"], json=True, clock=clock) as table:
        clock.now += 1.25
        table.update("hospital-a", node=Cell("complete", Status.DONE))
    out, err = capsys.readouterr()
    assert json.loads(out) == {
        "seconds": 1.2,
        "row": "hospital-a",
        "column": "node",
        "text": "complete",
        "status": "done",
    }
    assert err == ""


def test_an_unknown_column_is_refused_by_name() -> None:
    console, _ = pipe()
    with LiveTable("t", ["node"], console=console) as table, pytest.raises(KeyError, match="no column 'nod'"):
        table.update("a", nod="x")


def test_many_threads_write_whole_lines() -> None:
    console, stream = pipe()
    with LiveTable("t", ["state"], console=console) as table:

        def work(row: str) -> None:
            for i in range(50):
                table.update(row, state=f"step-{i}-end")

        threads = [threading.Thread(target=work, args=(f"row-{n}",)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    lines = stream.getvalue().splitlines()[1:]
    assert len(lines) == 8 * 50
    assert all(line.endswith("-end") and line.count("row-") == 1 for line in lines)
