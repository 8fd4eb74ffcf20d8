"""How commands talk to the running twin: questions over a Unix socket in its folder, one JSON line each way."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from infra.errors import FederateError

_log = logging.getLogger(__name__)

_NAME = "control.sock"
_LINE_BYTES = 1 << 20
_TIMEOUT_SECONDS = 120.0
#: After an accept that failed.
_BREATH_SECONDS = 0.05

Operation = Callable[..., Any]


class TwinSilent(FederateError):
    """No twin runs here, or it does not answer."""

    exit_code = 4


class TwinRefused(FederateError):
    """The twin says no."""

    exit_code = 2


def ask(operation: str, *, at: Path | None = None, timeout: float = _TIMEOUT_SECONDS, **arguments: Any) -> Any:
    """Ask the twin.

    Args:
        operation: its name: ``status``, ``fault.add``, …
        at: the twin's folder; that of this user's session if left out.
        timeout: seconds.
        arguments: what the operation takes.

    Returns:
        What the operation answers: something that JSON can say.

    Raises:
        TwinSilent: there is no twin, or it does not answer.
        TwinRefused: it refuses, and says why.
    """
    if at is None:
        from infra.local.twin.life import folder

        at = folder()
    try:
        with socket.socket(socket.AF_UNIX) as end:
            end.settimeout(timeout)
            with _address(at) as address:
                end.connect(address)
            with end.makefile("rwb") as stream:
                stream.write(json.dumps({"operation": operation, "arguments": arguments}).encode() + b"\n")
                stream.flush()
                answer = json.loads(stream.readline() or b"null")
    except (OSError, ValueError) as error:
        raise TwinSilent(
            f"The twin does not answer: {error}.",
            remedy="federate local status says whether it runs; federate local up starts it.",
        ) from None
    if not isinstance(answer, dict):
        raise TwinSilent("The twin ended before it answered.", remedy=f"Its log: {at / 'twin.log'}.")
    if "error" in answer:
        raise TwinRefused(str(answer["error"]), remedy=str(answer.get("remedy") or ""))
    return answer.get("answer")


class Control:
    """The twin's side.

    Args:
        folder: the twin's; the socket is made there, for the user's eyes only.
        operations: name to what answers; called with the question's arguments, each question in a thread of its own.
    """

    def __init__(self, folder: Path, operations: Mapping[str, Operation]) -> None:
        self._path = folder / _NAME
        self._operations = operations
        self._path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        with _address(folder) as address:
            self._listener.bind(address)
        self._path.chmod(0o600)
        self._listener.listen(16)
        threading.Thread(target=self._accept, name="control", daemon=True).start()

    def close(self) -> None:
        """Answer no more."""
        self._listener.close()
        self._path.unlink(missing_ok=True)

    def _accept(self) -> None:
        while self._listener.fileno() >= 0:
            try:
                end, _ = self._listener.accept()
            except OSError:  # closed; or no descriptor is free, which passes
                time.sleep(_BREATH_SECONDS)
                continue
            threading.Thread(target=self._answer, args=(end,), daemon=True).start()

    def _answer(self, end: socket.socket) -> None:
        with end, contextlib.suppress(OSError), end.makefile("rwb") as stream:
            end.settimeout(_TIMEOUT_SECONDS)
            stream.write(json.dumps(self._said(stream.readline(_LINE_BYTES)), default=str).encode() + b"\n")
            stream.flush()

    def _said(self, line: bytes) -> dict[str, Any]:
        try:
            asked = json.loads(line)
            operation, arguments = self._operations[asked["operation"]], dict(asked["arguments"])
        except (ValueError, KeyError, TypeError):
            return {"error": f"the twin knows no such operation: {line[:80]!r}"}
        try:
            return {"answer": operation(**arguments)}
        except FederateError as error:
            return {"error": str(error.args[0]), "remedy": error.remedy}
        except Exception as error:  # whatever it is, the one who asked must hear of it, and the twin goes on
            _log.exception("%s failed", asked["operation"])
            return {"error": f"{asked['operation']} failed in the twin: {error}"}


@contextlib.contextmanager
def _address(folder: Path) -> Iterator[str]:
    """Yield the socket's address: a Unix socket's is at most 108 bytes long, and the folder's path may be longer."""
    if sys.platform != "linux":
        yield str(folder / _NAME)
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{handle}/{_NAME}"
    finally:
        os.close(handle)
