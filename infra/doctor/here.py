"""What the operator's own machine shows: the federation's file, versions, and what the toolkit wrote about failures."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path

from infra.doctor.pieces import Missing, Piece, document

_PACKAGES = ("federate", "aws-cdk-lib", "boto3", "botocore", "cryptography", "paramiko", "pydantic", "typer", "moto")
_LOGS, _LOG_BYTES = 10, 100_000
_TOOL_SECONDS = 20.0
#: Of the environment the names are shown of what steers the toolkit, and the values of what cannot be a secret.
_SHOWN = ("FEDERATE_AWS", "FEDERATE_DEPTH", "FEDERATE_LOCAL_PORT", "CDK_VALIDATION")
_NAMED = ("AWS_", "FEDERATE_", "WANDB_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


def of_this_machine(
    file: Path, home: Path, *, cdk: Path | None, node: str | None = None, environment: Mapping[str, str] = os.environ
) -> Iterator[Piece | Missing]:
    """Yield the federation's file, versions of all tools, and the last logs of failures.

    Args:
        file: the federation's.
        home: folder of the toolkit's local state; of it the logs are read, and neither keys nor data.
        cdk: the CDK command; None where there is none.
        node: the Node.js command; that of the system if left out.
        environment: of this process.
    """
    about = "the federation's file"
    try:
        yield Piece("federation.yaml", about, file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        yield Missing("federation.yaml", about, f"{error}")
    yield Piece("here/versions.json", "versions of the toolkit and its tools", document(_versions(cdk, node)))
    yield Piece(
        "here/environment.json", "variables that steer the toolkit, by name", document(_environment(environment))
    )
    for log in _logs(home):
        name = f"here/logs/{log.name}"
        about = "what the toolkit or the cdk command wrote"
        try:
            with log.open("rb") as content:
                content.seek(max(0, content.seek(0, os.SEEK_END) - _LOG_BYTES))
                yield Piece(name, about, content.read().decode("utf-8", errors="replace"))
        except OSError as error:
            yield Missing(name, about, f"{error}")


def _versions(cdk: Path | None, node: str | None) -> dict[str, str]:
    found = {"python": sys.version.split()[0], "system": platform.platform()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    found["cdk command"] = _said([str(cdk), "--version"]) if cdk else "not installed"
    found["node"] = _said([node or "node", "--version"])
    found["aws command"] = _said(["aws", "--version"])
    return found


def _said(command: list[str]) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - fixed commands
            command, capture_output=True, text=True, errors="replace", timeout=_TOOL_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"does not run: {type(error).__name__}"
    return (done.stdout.strip() or done.stderr.strip()).partition("\n")[0][:200]


def _environment(given: Mapping[str, str]) -> dict[str, str]:
    names = sorted(name for name in given if name.upper().startswith(_NAMED))
    return {name: given[name] if name in _SHOWN else "is set" for name in names}


def _logs(home: Path) -> list[Path]:
    """Return the newest logs of failures and of the CDK command; nothing else below the home is looked at."""
    found = [*(home / "logs").glob("*-error-*.log"), *(home / "logs").glob("*/*.log")]
    newest = sorted((path for path in found if path.is_file() and not path.is_symlink()), key=_changed, reverse=True)
    return newest[:_LOGS]


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
