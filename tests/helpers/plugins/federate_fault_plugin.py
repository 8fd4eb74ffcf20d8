"""The data set ``watched_blobs``: the blobs of the other test plug-in, and a process that can be watched from outside.

A node that loads it believes in a wall clock that the test may shift. An aggregator also marks in a shared file which
phase of the round it is in, and stops at a step of one if a trap is set there, so that it can be killed just then. What
is wrapped is named once, in :data:`WRAPPED`; a name that is not there any more is an error at once.
"""

from __future__ import annotations

import datetime
import functools
import importlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from federate_fault_marks import Marks
from federate_test_plugins import blobs

from fl_app.plugins import DatasetSpec, NineParts

MARKS = "FAULTS_MARKS"

#: Phase to the functions that are all of it, and call none of another phase.
WRAPPED = {
    "waiting": ["fl_app.transport.queue_manager:QueueManager._next"],
    "receiving": [
        "fl_app.transport.hub:Hub._receive",
        "fl_app.learning.aggregator:RosterAggregator.add_local_trained_result",
        "fl_app.rounds.book:RoundBook.answered",
    ],
    "aggregating": ["fl_app.learning.aggregator:RosterAggregator.aggregate"],
    "checkpointing": ["fl_app.rounds.checkpoint:Checkpoints.save"],
    "sending": ["fl_app.transport.hub_manager:HubManager.send_message"],
    "ending": ["fl_app.transport.hub_manager:HubManager.close"],
}
FRAMES_SENT = "fl_app.transport.session:letter_frames"
OPENING = ("fl_app.rounds.book:RoundBook.joined", "fl_app.rounds.book:RoundBook.close")

_thread = threading.local()


def watched_blobs(spec: DatasetSpec) -> NineParts:
    """Return the site's clouds, and begin to be watched if the environment says so."""
    if os.environ.get(MARKS):
        marks = Marks(Path(os.environ[MARKS]))
        shift_clocks(marks)
        if spec.data_dir is None:
            watch(marks)
    return blobs(spec)


def watch(marks: Marks) -> None:
    """Mark the phases, and stop at a step of one if a trap is set."""
    for phase, names in WRAPPED.items():
        for name in names:
            wrap(name, lambda function, phase=phase: _marked(function, marks, phase))
    wrap(FRAMES_SENT, lambda function: _marked_frames(function, marks))
    for name in OPENING:
        wrap(name, lambda function: _noting_the_round(function, marks))
    for step in ("fsync", "replace", "unlink"):
        setattr(os, step, _step_of_checkpoint(getattr(os, step), marks))


def wrap(name: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Put what ``make`` returns in the place of a function.

    Raises:
        RuntimeError: the function is not there.
    """
    owner, last = find(name)
    setattr(owner, last, make(getattr(owner, last)))


def find(name: str) -> tuple[Any, str]:
    """Return who has a function, and its name there.

    Raises:
        RuntimeError: there is none; what is watched was renamed.
    """
    module, _, path = name.partition(":")
    owner: Any = importlib.import_module(module)
    *parents, last = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent, None)
    if not callable(getattr(owner, last, None)):
        raise RuntimeError(f"{name} is not there any more: tests/helpers/plugins/federate_fault_plugin.py wraps it")
    return owner, last


def shift_clocks(marks: Marks) -> None:
    """Have time.time, and what certificates are held against, be wrong by what the marks say."""
    real = time.time
    time.time = lambda: real() + marks["clock"]

    class Shifted(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:  # type: ignore[override]
            return datetime.datetime.fromtimestamp(time.time(), tz)

    class Module:
        def __getattr__(self, name: str) -> Any:
            return Shifted if name == "datetime" else getattr(datetime, name)

    importlib.import_module(find("fl_app.transport.identity:objection")[0].__name__).datetime = Module()  # type: ignore[attr-defined]


def _step(marks: Marks, phase: str) -> None:
    if marks.springs(phase):
        while True:
            time.sleep(60)


def _marked(function: Callable[..., Any], marks: Marks, phase: str) -> Callable[..., Any]:
    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        before, _thread.phase = getattr(_thread, "phase", None), phase
        marks.enter(phase)
        try:
            _step(marks, phase)
            found = function(*args, **kwargs)
            _step(marks, phase)
            return found
        finally:
            marks.leave(phase)
            _thread.phase = before

    return run


def _marked_frames(function: Callable[..., Iterator[bytes]], marks: Marks) -> Callable[..., Iterator[bytes]]:
    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Iterator[bytes]:
        for frame in function(*args, **kwargs):
            marks.enter("sending")
            try:
                _step(marks, "sending")
                yield frame
            finally:
                marks.leave("sending")

    return run


def _noting_the_round(function: Callable[..., Any], marks: Marks) -> Callable[..., Any]:
    """Note which round is open, when the first one was, and how long the machine had had no core for this process."""

    @functools.wraps(function)
    def run(book: Any, *args: Any) -> Any:
        found = function(book, *args)
        if book.opened_at is not None:
            marks["round"] = book.round
            if not marks["opened"]:
                waits = Path(f"/proc/self/task/{os.getpid()}/schedstat")
                marks["waited"] = int(waits.read_text().split()[1]) / 1e9 if waits.exists() else 0.0
                marks["opened"] = time.monotonic()
        return found

    return run


def _step_of_checkpoint(function: Callable[..., Any], marks: Marks) -> Callable[..., Any]:
    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        is_one = getattr(_thread, "phase", None) == "checkpointing"
        if is_one:
            _step(marks, "checkpointing")
        found = function(*args, **kwargs)
        if is_one:
            _step(marks, "checkpointing")
        return found

    return run
