"""A way from a site to the aggregator that a test can slow down or cut: a TCP relay on loopback.

A cut way behaves as a network that swallows packets: connections stay open, nothing moves on them, nobody is told.
When it is mended, what was on its way goes on, as TCP sends again what was not acknowledged.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Coroutine
from typing import Any

_CHUNK = 64 << 10


class Relay:
    """Listens on a port of its own and passes on what comes; any thread may call its methods."""

    def __init__(self, target: int) -> None:
        """Pass on to a port of this machine, each way later by ``latency`` seconds."""
        self._target = target
        self.latency = 0.0
        self._loop = asyncio.new_event_loop()
        self._passable = asyncio.Event()
        self._passable.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="relay", daemon=True)
        self._thread.start()
        self._server = self._do(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port: int = self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        """Let nothing pass any more."""
        self._loop.call_soon_threadsafe(self._passable.clear)

    def mend(self) -> None:
        """Let everything pass again."""
        self._loop.call_soon_threadsafe(self._passable.set)

    def close(self) -> None:
        """End every connection and stop listening."""
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _close(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._passable.wait()
        try:
            onward, back = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()  # the aggregator is not up: the site is told, as by its machine
            return
        for source, sink in ((reader, back), (onward, writer)):
            self._writers.add(sink)
            task = asyncio.ensure_future(self._carry(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        """Carry one direction: a part is sent when its time has come and the way is passable."""
        under_way: deque[tuple[float, bytes]] = deque()
        news = asyncio.Event()

        async def take() -> None:
            data = b"-"
            while data:
                try:
                    data = await source.read(_CHUNK)
                except OSError:
                    data = b""
                under_way.append((self._loop.time() + self.latency, data))
                news.set()

        taking = asyncio.ensure_future(take())
        try:
            while True:
                while not under_way:
                    news.clear()
                    await news.wait()
                due, data = under_way.popleft()
                await asyncio.sleep(max(0.0, due - self._loop.time()))
                await self._passable.wait()
                if not data:
                    return
                sink.write(data)
                await sink.drain()
        except OSError:
            return
        finally:
            taking.cancel()
            sink.close()
            self._writers.discard(sink)

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)
