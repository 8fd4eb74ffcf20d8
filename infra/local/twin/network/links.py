"""Links between VPCs, worse than they are: slowed, narrowed, lossy or cut, and healed.

A link is two veth ends in the ``wan`` namespace. Healthy, both are ports of one bridge, and the kernel carries the
frames. A link under conditions has left the bridge, and an emulator carries them; a cut one has left it, and nobody
does. The interfaces stay up: taking one down would delete the routes over it, which no cut cable does.
"""

from __future__ import annotations

import contextlib
import json
import select
import subprocess
import sys
from pathlib import Path
from typing import Any

from infra.errors import FederateError
from infra.local.twin.network import namespaces
from infra.local.twin.network.conditions import Emulated
from infra.local.twin.network.layout import Link

_CHECKOUT = Path(__file__).parents[4]
_START_SECONDS = 30.0
_ANSWER_SECONDS = 10.0


class LinkFailed(FederateError):
    """A link's emulator does not work."""

    exit_code = 4


class Links:
    """The links that are not as they should be; the emulators end with the process that holds this object.

    Args:
        seed: of loss and jitter.
    """

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._emulators: dict[str, _Emulator] = {}

    def shape(self, link: Link, conditions: Emulated) -> None:
        """Have a link work under conditions; if it does so already, they change and nothing on its way is lost.

        Raises:
            LinkFailed: the emulator does not work.
            NetworkRefused: the kernel refuses it.
        """
        emulator = self._emulators.get(link.peering)
        if emulator is None or not emulator.is_alive:
            emulator = _Emulator(link, self._seed)
            self._emulators[link.peering] = emulator
            self._unplug(link)
        emulator.set(conditions)

    def cut(self, link: Link) -> None:
        """Have a link carry nothing; who sends is not told."""
        self._unplug(link)
        self._stop(link)

    def heal(self, link: Link) -> None:
        """Have a link carry everything again, at once; does nothing if it does."""
        self._stop(link)
        namespaces.ip([f"link set {end} master {link.bridge}" for end in (link.near, link.far)], link.namespace)

    def counts(self, link: Link) -> dict[str, list[int]]:
        """Return frames passed, packets lost and dropped, by direction, since the link was shaped; else nothing."""
        emulator = self._emulators.get(link.peering)
        return emulator.counts() if emulator is not None and emulator.is_alive else {}

    def close(self) -> None:
        """End the emulators; the links that had one are cut. For the end of the world, in which links are deleted."""
        for peering in tuple(self._emulators):
            self._emulators.pop(peering).stop()

    def _stop(self, link: Link) -> None:
        if link.peering in self._emulators:
            self._emulators.pop(link.peering).stop()

    @staticmethod
    def _unplug(link: Link) -> None:
        namespaces.ip([f"link set {end} nomaster" for end in (link.near, link.far)], link.namespace)


class _Emulator:
    """The process that carries the frames of one link."""

    def __init__(self, link: Link, seed: int) -> None:
        self._conditions = Emulated()
        self._process = namespaces.popen(
            link.namespace,
            [sys.executable, "-m", "infra.local.twin.network.emulator", "--seed", str(seed), link.near, link.far],
            cwd=_CHECKOUT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self._answer(_START_SECONDS)

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def set(self, conditions: Emulated) -> None:
        self._conditions = conditions
        self.counts()

    def counts(self) -> dict[str, list[int]]:
        assert self._process.stdin  # noqa: S101 - a pipe was asked for
        with contextlib.suppress(BrokenPipeError):  # the answer, or its lack, tells
            self._process.stdin.write(self._conditions.as_line())
            self._process.stdin.flush()
        found: dict[str, list[int]] = json.loads(self._answer(_ANSWER_SECONDS))
        return found

    def stop(self) -> None:
        try:
            self._process.communicate(timeout=_ANSWER_SECONDS)  # closes its standard input
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()

    def _answer(self, seconds: float) -> str:
        output: Any = self._process.stdout
        if select.select([output], [], [], seconds)[0]:
            line: str = output.readline()
            if line:
                return line
        self._process.kill()
        _, said = self._process.communicate()
        raise LinkFailed(f"The link's emulator does not answer: {said.strip() or 'it said nothing'}")
