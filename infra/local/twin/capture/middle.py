"""A man in the middle of a site's stream: the aggregator towards the site, the site towards the aggregator.

He ends TLS 1.3 on both sides with certificates that the federation's authority has issued for the test, speaks HTTP/2,
passes every byte on unchanged, and shows it in plain text to a watcher. Neither side sees a difference: each still
checks the other's certificate, name and dates. Without the authority he could do nothing, and a test shows it.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from enum import StrEnum
from pathlib import Path
from typing import Any

_CHUNK = 256 << 10
_HANDSHAKE_SECONDS = 10.0
_ALPN = "h2"


class Direction(StrEnum):
    """Which way bytes go, as the hospital sees it."""

    LEAVES = "leaves"
    ENTERS = "enters"


#: Told of (direction, number of the connection, plain text), on the man's own thread.
Watch = Callable[[Direction, int, bytes], None]


class ManInTheMiddle:
    """Serves a listening socket until it is closed.

    Attributes:
        passed: bytes of plain text by direction.
        connections: how many were carried, handshakes done on both sides.
        failures: why others were not.
    """

    def __init__(
        self, *, as_aggregator: Path, as_site: Path, tls_name: str, dial: Callable[[], socket.socket], watch: Watch
    ) -> None:
        """Load both identities.

        Args:
            as_aggregator: key.pem, certificate.pem and authority.pem to show to the site.
            as_site: the same, to show to the aggregator.
            tls_name: the name that the aggregator's certificate must carry.
            dial: opens a connection to the aggregator, in the right namespace and from the right address; OSError if
                nobody is there.
            watch: shown every byte before it is passed on.
        """
        self._to_site = _context(ssl.PROTOCOL_TLS_SERVER, as_aggregator)
        self._to_aggregator = _context(ssl.PROTOCOL_TLS_CLIENT, as_site)
        self._tls_name, self._dial, self._watch = tls_name, dial, watch
        self._numbers = itertools.count(1)
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="middle", daemon=True)
        self._accepting: Future[None] | None = None
        self.passed: Counter[Direction] = Counter()
        self.connections = 0
        self.failures: list[str] = []

    def start(self, listener: socket.socket) -> None:
        """Serve connections of the site; the socket is closed with this object."""
        listener.setblocking(False)
        self._thread.start()
        self._accepting = asyncio.run_coroutine_threadsafe(self._accept(listener), self._loop)

    def close(self) -> None:
        """End every connection, and stop listening."""
        if not self._thread.is_alive():
            return
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(_HANDSHAKE_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        if self._accepting:
            self._accepting.cancel()
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._loop.shutdown_default_executor()

    async def _accept(self, listener: socket.socket) -> None:
        with listener:
            while True:
                site, _ = await self._loop.sock_accept(listener)
                task = self._loop.create_task(self._serve(site))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _serve(self, site: socket.socket) -> None:
        """Carry one connection. The aggregator is dialled first: where it is not, the site is to see just that."""
        writers: list[asyncio.StreamWriter] = []
        number = next(self._numbers)
        try:
            aggregator = await self._loop.run_in_executor(None, self._dial)
            aggregator.setblocking(False)
            from_aggregator, to_aggregator = await self._secure(
                asyncio.open_connection(
                    sock=aggregator, ssl=self._to_aggregator, server_hostname=self._tls_name, limit=_CHUNK
                )
            )
            writers.append(to_aggregator)
            from_site, to_site = await self._secure(self._as_server(site))  # and closed with its transport
            writers.append(to_site)
            self.connections += 1
            carried = (
                self._carry(Direction.LEAVES, number, from_site, to_aggregator),
                self._carry(Direction.ENTERS, number, from_aggregator, to_site),
            )
            await _first_of(*carried)
        except (OSError, TimeoutError) as error:
            self.failures.append(f"connection {number}: {type(error).__name__}: {error}")
            if not writers:
                site.close()  # nobody else has it yet
        except asyncio.CancelledError:
            for writer in writers:
                writer.transport.abort()
            raise
        finally:
            for writer in writers:  # what is still to be sent is sent
                writer.close()

    async def _secure(
        self, opening: Coroutine[Any, Any, tuple[asyncio.StreamReader, asyncio.StreamWriter]]
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.wait_for(opening, _HANDSHAKE_SECONDS)
        agreed = writer.get_extra_info("ssl_object").selected_alpn_protocol()
        if agreed != _ALPN:
            writer.transport.abort()
            raise ssl.SSLError(f"the other side speaks {agreed or 'no protocol by name'}, not {_ALPN}")
        return reader, writer

    async def _as_server(self, accepted: socket.socket) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader = asyncio.StreamReader(limit=_CHUNK, loop=self._loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=self._loop)
        transport, _ = await self._loop.connect_accepted_socket(lambda: protocol, accepted, ssl=self._to_site)
        return reader, asyncio.StreamWriter(transport, protocol, reader, self._loop)

    async def _carry(
        self, direction: Direction, number: int, source: asyncio.StreamReader, sink: asyncio.StreamWriter
    ) -> None:
        while data := await source.read(_CHUNK):
            self.passed[direction] += len(data)
            self._watch(direction, number, data)
            sink.write(data)
            await sink.drain()


async def _first_of(*carried: Coroutine[Any, Any, None]) -> None:
    """Wait until one direction has ended, and end the other with it; a broken connection is an end like another."""
    tasks = [asyncio.ensure_future(each) for each in carried]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        for found in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(found, Exception) and not isinstance(found, OSError):
                raise found


def _context(protocol: ssl._SSLMethod, files: Path) -> ssl.SSLContext:
    """Return mutual TLS 1.3 over HTTP/2 with an identity of the federation."""
    made = ssl.SSLContext(protocol)
    made.minimum_version = ssl.TLSVersion.TLSv1_3
    made.verify_mode = ssl.CERT_REQUIRED
    made.load_cert_chain(files / "certificate.pem", files / "key.pem")
    made.load_verify_locations(files / "authority.pem")
    made.set_alpn_protocols([_ALPN])
    return made
