"""The loop of a node looks up by itself: a signal that comes just before it waits is not slept through."""

from __future__ import annotations

import threading

from fl_app.transport.queue_manager import QueueManager


def test_a_loop_without_events_and_timers_looks_up_again_soon() -> None:
    looked_up = threading.Event()

    def look() -> None:
        QueueManager()._next()
        looked_up.set()

    threading.Thread(target=look, daemon=True).start()
    assert looked_up.wait(30)
