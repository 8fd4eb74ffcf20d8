"""The application as a process of the agent's: started, asked to end, and what it says while it runs."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PROGRESS = "progress.json"
_COMMANDS = {"aggregator": "server", "client": "client"}
#: Enough for a batch that is under way; then the process is killed.
GRACE_SECONDS = 15.0
_TAIL_BYTES = 16_384
_REASON_CHARACTERS = 600


@dataclass(frozen=True, slots=True)
class Folders:
    """Where the application reads and writes."""

    config: Path
    data: Path
    state: Path
    output: Path


class Application:
    """One run of ``python -m fl_app``.

    Args:
        role: ``aggregator`` or ``client``.
        code: the unpacked release, put before everything else on the module path.
        folders: what it reads and writes.
        log: file for all that it says; appended to.
    """

    def __init__(self, role: str, code: Path, folders: Folders, log: Path) -> None:
        self._name = _COMMANDS[role]
        self._log = log
        self._output = folders.output
        self._begin = log.stat().st_size if log.exists() else 0
        folders.output.mkdir(parents=True, exist_ok=True)
        # Where the one before stood says nothing of this one, which has to find the others first.
        (folders.output / _PROGRESS).unlink(missing_ok=True)
        named = {name: getattr(folders, name) for name in ("config", "data", "state", "output")}
        options = [part for name, folder in named.items() for part in (f"--{name}", str(folder))]
        with log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter, a list, no shell
                [sys.executable, "-m", "fl_app", self._name, *options],
                cwd=folders.output,
                env=_environment(os.environ, code),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    def exit_code(self) -> int | None:
        """Return the exit code, negative for a signal; None while it runs."""
        return self._process.poll()

    def stop(self, grace_seconds: float = GRACE_SECONDS) -> None:
        """Ask it to end in order, and kill it if it does not."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(grace_seconds)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def cancel(self, grace_seconds: float = GRACE_SECONDS) -> None:
        """Ask the aggregator's application to end its run for good, which tells the sites; then as :meth:`stop`."""
        if self._process.poll() is None and self._name == _COMMANDS["aggregator"]:
            self._process.send_signal(signal.SIGUSR1)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(grace_seconds)
        self.stop(grace_seconds)

    def last_words(self) -> str:
        """Return its error message: what it said after its own name, or its last line."""
        with self._log.open("rb") as log:
            log.seek(max(self._begin, log.seek(0, os.SEEK_END) - _TAIL_BYTES))
            said = log.read().decode("utf-8", errors="replace")
        _, found, message = said.rpartition(f"fl_app {self._name}: ")
        lines = [line.strip() for line in (message if found else said).splitlines() if line.strip()]
        return " ".join(lines if found else lines[-1:])[:_REASON_CHARACTERS] or "it said nothing"

    def progress(self) -> dict[str, Any]:
        """Return where it stands: round, rounds, phase, waiting_for, and the metrics of the last round that it told."""
        return progress_of(self._output)


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
