"""Keeps the bodies as the deployed instances are: a look a second, until a signal ends it or loopback AWS is gone."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from infra.errors import FederateError
from infra.local.twin.control import Control, Operation

_POLL_SECONDS = 1.0
#: An emulator that is silent for so long is gone, and what was deployed with it.
_GIVE_UP_SECONDS = 20.0

_log = logging.getLogger(__name__)


class Ground(Protocol):
    """Where nodes live; the keeper never calls two of its methods at once."""

    def look(self) -> None:
        """Make everything what the accounts say.

        Raises:
            BotoCoreError: loopback AWS does not answer.
            ClientError: it refuses.
            OSError: this machine refuses something for now; the next look tries it again.
            FederateError: the ground itself cannot be kept any more.
        """

    def status(self) -> dict[str, Any]:
        """Return the nodes, and what else there is to tell."""

    def operations(self) -> Mapping[str, Operation]:
        """Return what may be asked of it besides its status; called with the lock held."""

    def close(self) -> None:
        """The keeper ends; whatever would outlive it and should not is ended."""

    def end_all(self) -> None:
        """Loopback AWS is gone: end every node."""


def keep(ground: Ground, folder: Path, stop: threading.Event) -> int:
    """Keep a ground until told to stop; return the exit code.

    Args:
        ground: what is kept.
        folder: the twin's; the socket for questions is there.
        stop: set by a signal.
    """
    lock = threading.RLock()
    operations = {"status": ground.status, **ground.operations()}
    control = Control(folder, {name: _alone(lock, operation) for name, operation in operations.items()})
    heard = time.monotonic()
    try:
        while not stop.wait(_POLL_SECONDS):
            try:
                with lock:
                    ground.look()
                heard = time.monotonic()
            except ClientError as error:
                _log.warning("%s", error)
                heard = time.monotonic()  # an answer all the same
            except BotoCoreError as error:
                _log.warning("%s", error)
                if time.monotonic() - heard > _GIVE_UP_SECONDS:
                    _log.error("loopback AWS is gone; so are its nodes")
                    with lock:
                        ground.end_all()
                    return 1
            except FederateError as error:  # what is half made cannot be mended: the world ends with it
                _log.error("%s", error)
                return 1
            except OSError as error:  # a full disk, no file descriptor left: it may pass, and what runs goes on
                _log.warning("%s; it is tried again", error)
        return 0
    finally:
        control.close()
        with lock:
            ground.close()


def _alone(lock: threading.RLock, operation: Operation) -> Operation:
    def called(**arguments: Any) -> Any:
        with lock:
            return operation(**arguments)

    return called
