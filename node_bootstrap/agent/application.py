"""The application as a process of the agent's: started, asked to end, and what it says while it runs."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from node_bootstrap.agent.application_log import ApplicationLog

_log = logging.getLogger(__name__)

_PROGRESS = "progress.json"
_COMMANDS = {"aggregator": "server", "client": "client"}
#: Enough for a batch that is under way; then the process is killed.
GRACE_SECONDS = 15.0
_TAIL_BYTES = 16_384
_BYTES_AT_ONCE = 1 << 16
#: What it said is read to its end by then, unless something that it has started goes on to hold its output.
_LISTENING_SECONDS = 2.0
_REASON_CHARACTERS = 600


@dataclass(frozen=True, slots=True)
class Folders:
    """Where the application reads and writes."""

    config: Path
    data: Path
    state: Path
    output: Path


class Application:
    """One run of ``python -m fl_app``; what it says comes through a pipe, so that its log can be begun anew meanwhile.

    Args:
        role: ``aggregator`` or ``client``.
        code: the unpacked release, put before everything else on the module path.
        folders: what it reads and writes.
        log: for all that it says; appended to.
        start: the name of the start that it is part of.
    """

    def __init__(self, role: str, code: Path, folders: Folders, log: ApplicationLog, *, start: str = "") -> None:
        self._name = _COMMANDS[role]
        self._output = folders.output
        self._said = b""
        folders.output.mkdir(parents=True, exist_ok=True)
        # Where the one before stood says nothing of this one, which has to find the others first.
        (folders.output / _PROGRESS).unlink(missing_ok=True)
        named = {name: getattr(folders, name) for name in ("config", "data", "state", "output")}
        options = [part for name, folder in named.items() for part in (f"--{name}", str(folder))]
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter, a list, no shell
            [sys.executable, "-m", "fl_app", self._name, *options, "--start", start],
            cwd=folders.output,
            env=_environment(os.environ, code),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
        )
        told = (self._process.stdout, log)
        self._listener = threading.Thread(target=self._listen, args=told, name="application-log", daemon=True)
        self._listener.start()

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    def exit_code(self) -> int | None:
        """Return the exit code, negative for a signal; None while it runs."""
        code = self._process.poll()
        if code is not None:
            self._listener.join(_LISTENING_SECONDS)
        return code

    def stop(self, grace_seconds: float = GRACE_SECONDS) -> None:
        """Ask it to end in order, and kill it if it does not."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(grace_seconds)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._listener.join(_LISTENING_SECONDS)

    def cancel(self, grace_seconds: float = GRACE_SECONDS) -> None:
        """Ask the aggregator's application to end its run for good, which tells the sites; then as :meth:`stop`."""
        if self._process.poll() is None and self._name == _COMMANDS["aggregator"]:
            self._process.send_signal(signal.SIGUSR1)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(grace_seconds)
        self.stop(grace_seconds)

    def last_words(self) -> str:
        """Return its error message: what it said after its own name, or its last line."""
        said = self._said.decode("utf-8", errors="replace")
        _, found, message = said.rpartition(f"fl_app {self._name}: ")
        lines = [line.strip() for line in (message if found else said).splitlines() if line.strip()]
        return " ".join(lines if found else lines[-1:])[:_REASON_CHARACTERS] or "it said nothing"

    def progress(self) -> dict[str, Any]:
        """Return where it stands: round, rounds, phase, waiting_for, and the metrics of the last round that it told."""
        return progress_of(self._output)

    def _listen(self, output: IO[bytes], log: ApplicationLog) -> None:
        """Write down what it says; what cannot be written is lost: a full disk does not hold up the training."""
        is_writing = True
        with output:
            while said := output.read(_BYTES_AT_ONCE):
                self._said = (self._said + said)[-_TAIL_BYTES:]
                try:
                    log.add(said)
                    is_writing = True
                except OSError as error:
                    if is_writing:
                        _log.error("what the application says cannot be written here, and is lost: %s", error)
                    is_writing = False


def progress_of(output: Path) -> dict[str, Any]:
    """Return where a run stands from its output folder; empty where it has not written anything that can be read."""
    try:
        progress = json.loads((output / _PROGRESS).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(progress, dict):
        return {}
    metrics = _metrics(_last_record(output / "rounds.jsonl"))
    return {**progress, **({"metrics": metrics} if metrics else {})}


def _metrics(record: Mapping[str, Any]) -> dict[str, float]:
    federated = record.get("federated")
    told = federated if isinstance(federated, dict) else record
    found = {"auroc": told.get("auroc"), "auprc": told.get("auprc"), "loss": told.get("test_loss")}
    return {name: round(value, 6) for name, value in found.items() if isinstance(value, int | float)}


def _last_record(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as lines:
            lines.seek(max(0, lines.seek(0, os.SEEK_END) - _TAIL_BYTES))
            whole = lines.read().rpartition(b"\n")[0]
        found = json.loads(whole.rpartition(b"\n")[2])
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _environment(given: Mapping[str, str], code: Path) -> dict[str, str]:
    """Return the application's environment: the release first, and nothing that opens the account."""
    kept = {name: value for name, value in given.items() if not name.startswith("AWS_")}
    return {**kept, "PYTHONPATH": str(code), "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}
