"""Weights & Biases on the operator's side: the runs that a node wrote offline are uploaded from where the internet is.

The key comes from the environment and goes to wandb's own process the same way: never into a file, an argument or a
message of ours.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from infra.errors import FederateError
from infra.federation.model import Wandb

KEY_VARIABLE = "WANDB_API_KEY"
#: The last lines of wandb's own words that an error repeats.
_LAST_LINES = 5
_REFUSED = f"Is {KEY_VARIABLE} valid, and may it write to this project? Running this again goes on where it ended."


class WandbSyncFailed(FederateError):
    """The offline runs could not be uploaded."""


def offline_runs(results: Path) -> tuple[Path, ...]:
    """Return the folders of the offline runs under a results folder that are not uploaded yet, oldest first."""
    return tuple(
        sorted(
            run.parent
            for run in results.rglob("offline-run-*/run-*.wandb")
            if not run.with_name(f"{run.name}.synced").exists()
        )
    )


def command(runs: tuple[Path, ...], wandb: Wandb) -> list[str]:
    """Return the command that uploads the runs; project and entity are those of ``federation.yaml``."""
    where = ["--project", wandb.project, *(("--entity", wandb.entity) if wandb.entity else ())]
    return [sys.executable, "-m", "wandb", "sync", "--yes", *where, *(str(run.resolve()) for run in runs)]


def sync(
    results: Path, wandb: Wandb, *, environment: Mapping[str, str] | None = None, timeout_seconds: float = 300.0
) -> tuple[Path, ...]:
    """Upload the offline runs of a results folder with ``wandb sync``.

    Args:
        results: a downloaded results folder; runs lie anywhere in it, as the nodes wrote them.
        wandb: the settings of ``federation.yaml``.
        environment: where WANDB_API_KEY is looked for, and WANDB_BASE_URL for a server of one's own; the process's own
            if left out.
        timeout_seconds: wandb itself retries for ever; here it is ended then.

    Returns:
        The folders of the runs that were uploaded; none where all had been already.

    Raises:
        WandbSyncFailed: there is no run, no key, no package, no server, or the server refuses.
    """
    environment = os.environ if environment is None else environment
    if not any(results.rglob("offline-run-*/run-*.wandb")):
        raise WandbSyncFailed(
            f"{results} holds no offline run of W&B.",
            remedy="Set tracking.wandb to true in federation.yaml before the run; the aggregator then writes one.",
        )
    runs = offline_runs(results)
    if not runs:
        return ()
    if not environment.get(KEY_VARIABLE):
        raise WandbSyncFailed(
            f"{KEY_VARIABLE} is not set; {len(runs)} offline run(s) wait in {results}.",
            remedy=f"export {KEY_VARIABLE}=… (from your W&B settings) and run this again. "
            "The key never belongs into federation.yaml.",
        )
    if find_spec("wandb") is None:
        raise WandbSyncFailed("The package wandb is not installed here.", remedy="pip install wandb")
    said = _run(command(runs, wandb), environment, timeout_seconds)
    if waiting := [run for run in offline_runs(results) if run in runs]:  # wandb exits 0 when the server refuses
        raise WandbSyncFailed(
            f"wandb sync left {len(waiting)} of {len(runs)} run(s) behind, {waiting[0]} first. "
            f"Its last words:\n{_last_words(said)}",
            remedy=_REFUSED,
        )
    return runs


def _run(arguments: list[str], environment: Mapping[str, str], timeout_seconds: float) -> str:
    """Run wandb and return what it said."""
    with tempfile.TemporaryDirectory(prefix="federate-wandb-") as scratch:  # its logs go to the working directory
        own = {"WANDB_ERROR_REPORTING": "false"} | {
            f"WANDB_{name}_DIR": scratch for name in ("CACHE", "CONFIG", "DATA")
        }
        try:
            done = subprocess.run(  # noqa: S603  # our own interpreter, a list, no shell
                arguments,
                env={**environment, **own},
                cwd=scratch,
                capture_output=True,
                text=True,
                timeout=timeout_seconds,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            said = error.stderr.decode(errors="replace") if isinstance(error.stderr, bytes) else error.stderr
            raise WandbSyncFailed(
                f"wandb sync did not finish within {timeout_seconds:.0f} s. Its last words:\n{_last_words(said or '')}",
                remedy="Is the W&B server reachable from here (WANDB_BASE_URL, proxy)? Running this again goes on.",
            ) from None
    if done.returncode != 0:
        raise WandbSyncFailed(
            f"wandb sync ended with code {done.returncode}. Its last words:\n{_last_words(done.stderr + done.stdout)}",
            remedy=_REFUSED,
        )
    return done.stderr + done.stdout


def _last_words(said: str) -> str:
    lines = [line for line in said.splitlines() if line.strip() and "debug-cli" not in line]
    return "\n".join(f"  {line}" for line in lines[-_LAST_LINES:]) or "  (none)"
