"""FedML's communication manager on this wire: one queue, one thread that works on it, timers, and no busy loop."""

from __future__ import annotations

import heapq
import itertools
import time
from queue import Empty, SimpleQueue
from typing import Protocol

from fl_app import engine  # noqa: F401  # FedML comes quiet
from fl_app.transport.events import Event, Failed, Local

from fedml.core.distributed.communication.base_com_manager import BaseCommunicationManager  # isort: skip
from fedml.core.distributed.communication.message import Message  # isort: skip
from fedml.cross_silo.server.message_define import MyMessage  # isort: skip

#: Messages that never leave the process; FedML's own types are below 100.
LOCAL_JOINED, LOCAL_LEFT, LOCAL_RETURNED, LOCAL_EXPELLED = 901, 902, 903, 904
LOCAL_TICK, LOCAL_DEADLINE, LOCAL_FAREWELL = 911, 912, 913
LOCAL_STOP, LOCAL_STOP_NOW, LOCAL_CANCEL = 921, 922, 923

#: A signal that comes just before the loop begins to wait does not wake it: Python runs handlers between two bytecodes.
_LONGEST_WAIT = 1.0


class Observer(Protocol):
    """FedML's manager: it is told of every message."""

    def receive_message(self, msg_type: int, msg_params: Message) -> None:
        """Handle one message."""


class QueueManager(BaseCommunicationManager):  # type: ignore[misc]  # FedML is not typed
    """Hands messages, timers and the wish to stop to FedML's handlers, all on the thread that calls the loop."""

    def __init__(self) -> None:
        self._inbox: SimpleQueue[Event | BaseException | None] = SimpleQueue()
        self._timers: list[tuple[float, int, Message]] = []
        self._order = itertools.count()
        self._observers: list[Observer] = []
        self._running = True

    def add_observer(self, observer: Observer) -> None:
        """Tell an observer of every message from now on."""
        self._observers.append(observer)

    def remove_observer(self, observer: Observer) -> None:
        """Tell it no more."""
        self._observers.remove(observer)

    def post(self, event: Event | BaseException | None) -> None:
        """Queue an event; any thread may, and signal handlers. An exception is raised in the loop."""
        self._inbox.put(event)

    def call_later(self, seconds: float, message: Message) -> None:
        """Hand a message to the observers after some seconds. Only the loop's thread may call this."""
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._order), message))

    def handle_receive_message(self) -> None:
        """Work until stopped: the loop of the process."""
        self._notify(Message(MyMessage.MSG_TYPE_CONNECTION_IS_READY, 0, 0))
        while self._running:
            event = self._next()
            if isinstance(event, BaseException):
                raise event
            if isinstance(event, Failed):
                raise event.error
            if isinstance(event, Local):
                self._notify(Message(event.kind, 0, 0))
            elif event is not None:
                self._handle(event)

    def stop_receive_message(self) -> None:
        """End the loop after the message that is being handled."""
        self._running = False
        self.post(None)

    def close(self) -> None:
        """Release the wire."""
        raise NotImplementedError

    def _next(self) -> Event | BaseException | None:
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            self._notify(heapq.heappop(self._timers)[2])
            if not self._running:
                return None
        try:
            due = self._timers[0][0] - now if self._timers else _LONGEST_WAIT
            return self._inbox.get(timeout=min(max(0.0, due), _LONGEST_WAIT))
        except Empty:
            return None

    def _notify(self, message: Message) -> None:
        for observer in list(self._observers):
            observer.receive_message(message.get_type(), message)

    def _handle(self, event: Event) -> None:
        raise NotImplementedError
