"""``python -m infra.local.twin.network.emulator NEAR FAR``: a link between two interfaces of this network namespace.

What comes out of one interface is put into the other, as :class:`~infra.local.twin.network.lane.Lane` says. It works
where the kernel has no netem, needs no module, and may do with frames what it likes.

It says ``ready`` once it has its packet sockets. Each line on standard input is the conditions from then on
(:meth:`Emulated.as_line`); the first one begins the traffic. Each is answered with a line of JSON: what has passed, was
lost and was dropped so far, by direction. It ends when standard input does, that is, with whoever started it, or when
an interface is deleted.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import os
import select
import socket
import sys
import time

from infra.local.twin.network.conditions import Emulated
from infra.local.twin.network.lane import Lane

# Of Linux' include/uapi/linux/if_packet.h and include/uapi/asm-generic/socket.h; Python's socket does not name them.
_SOL_PACKET, _VNET_HEADER, _IGNORE_OUTGOING = 263, 15, 23
_RECEIVE_BUFFER_FORCE, _SEND_BUFFER_FORCE = 33, 32
_EVERY_PROTOCOL = 3
_BUFFER_BYTES = 32 << 20
_LONGEST = 70_000
#: So many frames are taken from one end before the other end, and what is due, have their turn.
_AT_ONCE = 64
#: How often a link that carries nothing looks whether its ends are still there.
_LOOK_SECONDS = 1.0
_INPUT = 0


class Gone(Exception):
    """An interface was deleted."""


class Wire:
    """Two ends and a lane for each direction.

    Args:
        ends: packet sockets with virtio headers, not bound yet.
        names: the interfaces.
        seed: of loss and jitter; each direction has its own chances.
    """

    def __init__(self, ends: tuple[socket.socket, socket.socket], names: tuple[str, str], seed: int) -> None:
        self._ends, self._names = ends, names
        self._lanes = (Lane(Emulated(), 2 * seed), Lane(Emulated(), 2 * seed + 1))
        self._indexes = [socket.if_nametoindex(name) for name in names]
        self._is_open = False

    def set(self, conditions: Emulated) -> None:
        """Have conditions from now on; the first ones connect the ends."""
        for lane in self._lanes:
            lane.conditions = conditions
        if not self._is_open:
            for end, name in zip(self._ends, self._names, strict=True):
                end.bind((name, _EVERY_PROTOCOL))
                end.setblocking(False)
            self._is_open = True

    def counts(self) -> dict[str, list[int]]:
        """Return what has come of frames so far: [from the first end, from the second]."""
        return {name: [getattr(lane, name) for lane in self._lanes] for name in ("passed", "lost", "dropped")}

    def deliver(self) -> float | None:
        """Send what is due; return in how many seconds there is more, None if nothing is held."""
        now = time.monotonic()
        for index, lane in enumerate(self._lanes):
            target = self._ends[1 - index]
            for frame in lane.leaving(now):
                with contextlib.suppress(OSError):  # the other end is down, or full: a cable would not care
                    target.send(frame)
        times = [at for lane in self._lanes if (at := lane.next_at()) is not None]
        return max(0.0, min(times) - time.monotonic()) if times else None

    def take(self, index: int) -> None:
        """Take what has come to an end.

        Raises:
            Gone: there is no such end any more.
        """
        end, lane = self._ends[index], self._lanes[index]
        for _ in range(_AT_ONCE):
            try:
                frame = end.recv(_LONGEST)
            except BlockingIOError:
                return
            except OSError:  # once, when the interface goes down, and when it is deleted
                if not self._is_there(index):
                    raise Gone(self._names[index]) from None
                return
            lane.enter(frame, time.monotonic())

    def look(self) -> None:
        """Make sure that both ends exist: the kernel tells of a deletion once, and perhaps only of its first part.

        Raises:
            Gone: there is no such end any more.
        """
        for index, name in enumerate(self._names):
            if self._is_open and not self._is_there(index):
                raise Gone(name)

    def _is_there(self, index: int) -> bool:
        try:
            return socket.if_nametoindex(self._names[index]) == self._indexes[index]
        except OSError:
            return False


def main() -> int:
    """Run the link until standard input ends, or an interface is deleted."""
    parser = argparse.ArgumentParser(prog="python -m infra.local.twin.network.emulator", description=__doc__)
    parser.add_argument("near", help="one interface")
    parser.add_argument("far", help="the other")
    parser.add_argument("--seed", type=int, default=0, help="of loss and jitter (default 0)")
    given = parser.parse_args()
    _be_prompt()
    ends = (_end(), _end())
    wire = Wire(ends, (given.near, given.far), given.seed)
    with contextlib.suppress(Gone):
        _carry(wire, ends)
    return 0


def _carry(wire: Wire, ends: tuple[socket.socket, socket.socket]) -> None:
    handles = [end.fileno() for end in ends]
    print("ready", flush=True)
    unread = b""
    wait: float | None = None
    while True:
        ready, _, _ = select.select([_INPUT, *handles], [], [], _LOOK_SECONDS if wait is None else wait)
        if not ready and wait is None:
            wire.look()
        for handle in handles:
            if handle in ready:
                wire.take(handles.index(handle))
        if _INPUT in ready:
            came = os.read(_INPUT, 65536)
            if not came:
                return
            *lines, unread = (unread + came).split(b"\n")
            for line in lines:
                wire.set(Emulated.from_line(line.decode()))
                print(json.dumps(wire.counts()), flush=True)
        wait = wire.deliver()


def _end() -> socket.socket:
    """Open a packet socket that sees nothing yet: no protocol, no interface."""
    end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    end.setsockopt(_SOL_PACKET, _VNET_HEADER, 1)
    end.setsockopt(_SOL_PACKET, _IGNORE_OUTGOING, 1)
    for plain, forced in ((socket.SO_RCVBUF, _RECEIVE_BUFFER_FORCE), (socket.SO_SNDBUF, _SEND_BUFFER_FORCE)):
        try:
            end.setsockopt(socket.SOL_SOCKET, forced, _BUFFER_BYTES)
        except PermissionError:  # without root in the first user namespace: what the system allows
            end.setsockopt(socket.SOL_SOCKET, plain, _BUFFER_BYTES)
    return end


def _be_prompt() -> None:
    """Be on time on a busy machine, as far as we are allowed to: it sleeps nearly always, so it takes nothing away."""
    gc.disable()  # no cycles are made
    with contextlib.suppress(OSError):
        os.nice(-15)
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))


if __name__ == "__main__":
    sys.exit(main())
