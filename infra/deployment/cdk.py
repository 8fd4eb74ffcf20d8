"""The CDK command, run on templates that are already there: no synth, one profile, a log file for each run."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from infra.deployment.tools import find_cdk, tool_environment


@dataclass(frozen=True, slots=True)
class CdkRun:
    """How a run of the command ended, and where everything that it said is."""

    exit_code: int
    log: Path

    def said(self) -> str:
        """Return what the command said."""
        return self.log.read_text("utf-8", errors="replace")


class Cdk(Protocol):
    """The command as the phases use it; tests put one of their own here."""

    def deploy(
        self, stacks: Sequence[str], *, profile: str, parameters: Mapping[str, str], concurrency: int, title: str
    ) -> CdkRun:
        """Deploy stacks of one account. Parameters are by ``<stack name>:<parameter>``."""

    def destroy(self, stacks: Sequence[str], *, profile: str, concurrency: int, title: str) -> CdkRun:
        """Destroy stacks of one account, those first that others do not need."""

    def diff(self, stacks: Sequence[str], *, profile: str, title: str) -> CdkRun:
        """Compare stacks of one account with what is deployed."""

    def interrupt(self) -> None:
        """End what runs, and start nothing more."""


class CdkCommand:
    """The real command as a subprocess. Each run has a process group of its own, so that Ctrl-C reaches us alone.

    Args:
        assembly: folder of the synthesised templates.
        logs: folder for one log per run.
        environment: what the command gets; the process's own if left out.
    """

    def __init__(self, assembly: Path, logs: Path, environment: Mapping[str, str] | None = None) -> None:
        given = os.environ if environment is None else environment
        self._command = str(find_cdk(given))
        self._environment = tool_environment(given)
        self._assembly = assembly
        self._logs = logs
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._is_interrupted = False

    def deploy(
        self, stacks: Sequence[str], *, profile: str, parameters: Mapping[str, str], concurrency: int, title: str
    ) -> CdkRun:
        """Deploy stacks of one account."""
        given = [part for name, value in sorted(parameters.items()) for part in ("--parameters", f"{name}={value}")]
        options = ["--require-approval", "never", "--progress", "events", "--concurrency", str(concurrency), *given]
        # The log group of a federation that was here before was retained under the name that the new one needs.
        options.append("--import-existing-resources")
        return self._run("deploy", stacks, profile, options, title)

    def destroy(self, stacks: Sequence[str], *, profile: str, concurrency: int, title: str) -> CdkRun:
        """Destroy stacks of one account."""
        return self._run("destroy", stacks, profile, ["--force", "--concurrency", str(concurrency)], title)

    def diff(self, stacks: Sequence[str], *, profile: str, title: str) -> CdkRun:
        """Compare stacks of one account with what is deployed."""
        return self._run("diff", stacks, profile, ["--no-color"], title)

    def interrupt(self, *, grace_seconds: float = 10.0) -> None:
        """Forward Ctrl-C to what runs, and insist after a while. CloudFormation goes on with what it has begun."""
        with self._lock:
            self._is_interrupted = True
            running = tuple(self._running)
        for number in (signal.SIGINT, signal.SIGKILL):
            for process in running:
                _signal_group(process, number)
            deadline = time.monotonic() + grace_seconds
            for process in running:
                try:
                    process.wait(max(0.0, deadline - time.monotonic()))
                except subprocess.TimeoutExpired:
                    continue

    def _run(self, verb: str, stacks: Sequence[str], profile: str, options: Sequence[str], title: str) -> CdkRun:
        self._logs.mkdir(parents=True, exist_ok=True)
        log = self._logs / f"{time.strftime('%Y%m%dT%H%M%S')}-{verb}-{title}.log"
        arguments = [
            *(self._command, verb, *stacks, "--exclusively", "--app", str(self._assembly), "--profile", profile),
            *("--no-notices", "--no-version-reporting", *options),
        ]
        with log.open("wb") as output:
            with self._lock:
                if self._is_interrupted:
                    return CdkRun(130, log)
                process = subprocess.Popen(  # noqa: S603 - the pinned command, a list, no shell
                    arguments,
                    cwd=self._logs,
                    env=self._environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
                self._running.add(process)
            try:
                return CdkRun(process.wait(), log)
            finally:
                with self._lock:
                    self._running.discard(process)


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Send a signal to a process group that we made, as long as its leader runs."""
    if process.poll() is None:
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            return
