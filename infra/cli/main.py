"""``federate``: the commands, and how every error reaches the user."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer._click.exceptions import ClickException

from infra.cli import (
    alarms,
    audit,
    check,
    cost,
    demo,
    deploy,
    doctor,
    handover,
    identity,
    images,
    local,
    logs,
    nodes,
    permissions,
    picture,
    preflight,
    reach,
    reachability,
    results,
    sites,
    status,
    supplying,
)
from infra.cli.context import Aws, Context
from infra.errors import FederateError, InvalidFederation
from infra.local.home import home

_STOPPED = 130

app = typer.Typer(
    name="federate",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Cross-silo federated learning on AWS: N hospitals and one aggregator, an account each.",
    epilog="Example: federate --aws loopback deploy",
)
for group in (
    alarms,
    audit,
    check,
    cost,
    permissions,
    preflight,
    deploy,
    handover,
    sites,
    nodes,
    logs,
    reach,
    status,
    supplying,
    results,
    identity,
    images,
    local,
    reachability,
    picture,
    demo,
    doctor,
):
    group.register(app)


@app.callback()
def options(
    ctx: typer.Context,
    file: Annotated[
        Path, typer.Option("--file", "-f", envvar="FEDERATE_FILE", help="The federation.", show_default=True)
    ] = Path("federation.yaml"),
    aws: Annotated[Aws, typer.Option(envvar="FEDERATE_AWS", help="real, or AWS on loopback.")] = Aws.REAL,
    json: Annotated[bool, typer.Option("--json", help="Answer in JSON, for scripts.")] = False,
) -> None:
    """Keep the global options for the command."""
    ctx.obj = Context(file=file, aws=aws, json=json)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        0; or the exit code of the error that is printed: 130 after Ctrl-C, 70 where the toolkit itself failed.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that knows no dash shall not end a command
            stream.reconfigure(errors="replace")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        code = app(given, standalone_mode=False)
        if code == _STOPPED and not isinstance(code, reach.RemoteExit):  # Typer makes this of Ctrl-C
            raise KeyboardInterrupt
    except ClickException as error:
        if "--json" in given:
            return _report(BadUsage(error.format_message()), as_json=True)
        error.show()
        return error.exit_code
    except FederateError as error:
        return _report(error, as_json="--json" in given)
    except (KeyboardInterrupt, typer.Abort):
        print("Stopped. The same command goes on where it ended.", file=sys.stderr)
        return _STOPPED
    except BrokenPipeError:  # whoever read the output has had enough of it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        return _report(_of_aws(error) or _of_disk(error) or _unexpected(error), as_json="--json" in given)
    return code if isinstance(code, int) else 0


class BadUsage(FederateError):
    """The arguments are not a command's."""

    exit_code = 2


class Unexpected(FederateError):
    """The toolkit failed in a way that it does not know."""

    exit_code = 70


def _of_aws(error: Exception) -> FederateError | None:
    """Return what an error of AWS's libraries means, or None if it is none of theirs."""
    try:
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError
    except ModuleNotFoundError:
        return None
    if not isinstance(error, BotoCoreError | ClientError | Boto3Error):
        return None
    from infra.accounts import explain

    return explain(error)


class DiskFull(FederateError):
    """There is no space for what a command writes."""

    exit_code = 4


def _of_disk(error: Exception) -> FederateError | None:
    """Return what an error of the disk means, or None if it is none."""
    if not isinstance(error, OSError) or error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return None
    where = f": {error.filename} cannot be written" if error.filename else ""
    return DiskFull(
        f"The disk is full{where}.", remedy=f"Local state is in {home()}; FEDERATE_HOME names another place."
    )


def _unexpected(error: Exception) -> FederateError:
    log = _error_log("".join(traceback.format_exception(error)))
    what = str(error).partition("\n")[0] or type(error).__name__
    return Unexpected(f"This should not have happened: {what}", remedy=f"What led to it is in {log}.")


def _error_log(text: str) -> Path:
    """Write what led to an error where it can be written, and return where."""
    name = f"{time.strftime('%Y%m%dT%H%M%S')}-error-{os.getpid()}.log"
    for folder in (home() / "logs", Path(tempfile.gettempdir())):
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, "utf-8")
            return folder / name
    return Path(os.devnull)


def _report(error: FederateError, *, as_json: bool) -> int:
    if as_json:
        document: dict[str, Any] = {"error": str(error), "exit_code": error.exit_code}
        if isinstance(error, InvalidFederation):
            document["problems"] = [problem.as_dict() for problem in error.problems]
        print(json.dumps(document, indent=1))
    else:
        print(error, file=sys.stderr)
    return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
