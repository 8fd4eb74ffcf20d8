"""The sockets of the twin's services: each made in the namespace where it answers, and closed when it is to no more."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from infra.local.twin.network import namespaces
from infra.local.twin.services.serving import shut

_BACKLOG = 128

_log = logging.getLogger(__name__)

#: Serves on a socket until it is closed.
Serve = Callable[[socket.socket], None]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a service listens."""

    namespace: str
    address: str
    port: int
    transport: Literal["tcp", "udp"] = "tcp"


class Listeners:
    """Follows what is wanted: opens what is new, closes what is gone, leaves the rest alone."""

    def __init__(self) -> None:
        self._open: dict[Place, socket.socket] = {}

    def follow(self, wanted: Mapping[Place, Serve]) -> None:
        """Serve at these places, each in a thread of its own, and nowhere else.

        Raises:
            OSError: a socket cannot be made.
        """
        for place in [place for place in self._open if place not in wanted]:
            self._close(place)
        for place, serve in wanted.items():
            if place not in self._open:
                made = namespaces.call(place.namespace, _socket, place)
                self._open[place] = made
                threading.Thread(target=_serve, args=(serve, made, place), name=str(place), daemon=True).start()

    def close(self) -> None:
        """Close all."""
        for place in tuple(self._open):
            self._close(place)

    def _close(self, place: Place) -> None:
        made = self._open.pop(place)
        shut(made)
        made.close()


def _socket(place: Place) -> socket.socket:
    kind = socket.SOCK_STREAM if place.transport == "tcp" else socket.SOCK_DGRAM
    made = socket.socket(socket.AF_INET, kind)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind((place.address, place.port))
    if place.transport == "tcp":
        made.listen(_BACKLOG)
    return made


def _serve(serve: Serve, made: socket.socket, place: Place) -> None:
    try:
        serve(made)
    except OSError:
        if made.fileno() != -1:
            _log.exception("the service at %s has ended", place)
