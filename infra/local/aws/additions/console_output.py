"""``ec2:GetConsoleOutput``: what an instance's body has written, in place of moto's sample of a Linux of 2006.

The twin keeps it in its folder: a machine's console, and of a node that is a process what its agent says. On AWS it can
be read for an hour after the instance is gone; here it is gone with it.
"""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.responses import EC2Response

#: What EC2 keeps of a console.
_BYTES = 65_536
#: Below the twin's folder; the first that is there counts.
_FILES = ("machines/{instance}/console.log", "nodes/{instance}/agent.log")


@dataclass(slots=True)
class Consoles:
    """Where consoles are read; without a folder they are empty."""

    twin: Path | None = None


#: Those of every instance in this process.
CONSOLES = Consoles()


def add() -> None:
    """Have the call read what bodies write."""
    EC2Response.get_console_output = _get_console_output


def output_of(instance: str, twin: Path) -> bytes:
    """Return the end of an instance's console; nothing where it has none."""
    for name in _FILES:
        try:
            with (twin / name.format(instance=instance)).open("rb") as console:
                console.seek(max(0, console.seek(0, os.SEEK_END) - _BYTES))
                return console.read()
        except OSError:
            continue
    return b""


def _get_console_output(self: Any) -> ActionResult:
    instance = self.ec2_backend.get_instance(self._get_param("InstanceId"))  # refused if there is none
    output = output_of(instance.id, CONSOLES.twin) if CONSOLES.twin is not None else b""
    told = {"InstanceId": instance.id, "Timestamp": datetime.now(UTC), "Output": base64.b64encode(output).decode()}
    return ActionResult(told)
