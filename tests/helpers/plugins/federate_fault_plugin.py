"""The data set ``watched_blobs``: the blobs of the other test plug-in, and a process that can be watched from outside.

An aggregator or site that loads it marks in a shared file which phase of the round it is in, takes a little longer over
each, so that it can be hit there, and believes in a wall clock that the test may shift. What is wrapped is named once,
in :data:`WRAPPED`; a name that is not there any more is an error at once.
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
STRETCH = "FAULTS_STRETCH"

#: Phase to the functions that are all of it, and call none of another phase.
WRAPPED = {
    "waiting": ["fl_app.transport.managers:QueueManager._next"],
    "receiving": [
        "fl_app.transport.hub:Hub._receive",
        "fl_app.learning.aggregator:RosterAggregator.add_local_trained_result",
        "fl_app.rounds.book:RoundBook.answered",
    ],
    "aggregating": ["fl_app.learning.aggregator:RosterAggregator.aggregate"],
    "checkpointing": ["fl_app.rounds.checkpoint:Checkpoints.save"],
    "sending": ["fl_app.transport.managers:HubManager.send_message"],
}
FRAMES_SENT = "fl_app.transport.session:letter_frames"
OPENS = "fl_app.rounds.book:RoundBook.joined"

_inside = threading.local()


def watched_blobs(spec: DatasetSpec) -> NineParts:
    """Return the site's clouds, and begin to be watched if the environment says so."""
    if os.environ.get(MARKS) and not hasattr(watched_blobs, "marks"):
        watched_blobs.marks = Marks(Path(os.environ[MARKS]))  # type: ignore[attr-defined]
        shift_clocks(watched_blobs.marks)  # type: ignore[attr-defined]
        if spec.data_dir is None:
            watch(watched_blobs.marks, float(os.environ.get(STRETCH, "0")))  # type: ignore[attr-defined]
    return blobs(spec)


def watch(marks: Marks, stretch: float) -> None:
    """Mark the phases, each at least twice ``stretch`` seconds long, and every step of a checkpoint likewise."""
    for phase, names in WRAPPED.items():
        for name in names:
            owner, last = find(name)
            pause = 0.0 if phase == "waiting" else stretch
            setattr(owner, last, _marked(getattr(owner, last), marks, phase, pause))
    owner, last = find(FRAMES_SENT)
    setattr(owner, last, _marked_steps(getattr(owner, last), marks, "sending"))
    owner, last = find(OPENS)
    setattr(owner, last, _noting_opening(getattr(owner, last), marks))
    for step in ("fsync", "replace", "unlink"):
        setattr(os, step, _slow_in_checkpoint(getattr(os, step), stretch))


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
    """Have time.time and the datetimes of the application be wrong by what the marks say."""
    real = time.time
    time.time = lambda: real() + marks.clock_shift()

    class Shifted(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:  # type: ignore[override]
            return datetime.datetime.fromtimestamp(time.time(), tz)

    class Module:
        def __getattr__(self, name: str) -> Any:
            return Shifted if name == "datetime" else getattr(datetime, name)

    owner, _ = find("fl_app.transport.identity:objection")
    owner.datetime = Module()


def _marked(function: Callable[..., Any], marks: Marks, phase: str, pause: float) -> Callable[..., Any]:
    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        before, _inside.phase = getattr(_inside, "phase", None), phase
        marks.enter(phase)
        try:
            time.sleep(pause)
            found = function(*args, **kwargs)
            time.sleep(pause)
            return found
        finally:
            marks.leave(phase)
            _inside.phase = before

    return run


def _marked_steps(function: Callable[..., Iterator[bytes]], marks: Marks, phase: str) -> Callable[..., Iterator[bytes]]:
    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Iterator[bytes]:
        for step in function(*args, **kwargs):
            marks.enter(phase)
            try:
                yield step
            finally:
                marks.leave(phase)

    return run


def _noting_opening(function: Callable[..., Any], marks: Marks) -> Callable[..., Any]:
    @functools.wraps(function)
    def run(book: Any, *args: Any) -> Any:
        found = function(book, *args)
        if book.opened_at is not None:
            waited = Path(f"/proc/self/task/{os.getpid()}/schedstat")
            waited_ns = int(waited.read_text().split()[1]) if waited.exists() else 0
            marks.open_round(time.monotonic(), waited_ns / 1e9)
        return found

    return run


def _slow_in_checkpoint(function: Callable[..., Any], pause: float) -> Callable[..., Any]:
    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        if getattr(_inside, "phase", None) != "checkpointing":
            return function(*args, **kwargs)
        time.sleep(pause)
        found = function(*args, **kwargs)
        time.sleep(pause)
        return found

    return run
