"""The life of a local session: AWS on loopback and the twin are up, or they are started.

State is in ``.federate/local/state.json``. The emulator keeps its accounts in memory: once its process is gone, so is
everything that was deployed into it, and the next start says so.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from infra.errors import FederateError
from infra.federation.derive import nodes
from infra.federation.model import Federation
from infra.local import credentials, process, twin
from infra.local.home import home, local
from infra.local.twin.depth import Depth

#: The emulator needs about two seconds; a busy machine more.
READY_SECONDS = 60.0
_HOST = "127.0.0.1"
_EMULATOR = "infra.local.aws"
_POLL_SECONDS = 0.05


class PortTaken(FederateError):
    """The port that was asked for is somebody else's."""

    exit_code = 4


class NotReady(FederateError):
    """The emulator did not come up."""

    exit_code = 4


@dataclass(frozen=True, slots=True)
class Emulator:
    """A running emulator; ``began`` marks its process beyond its number."""

    pid: int
    began: str
    port: int
    federation: str

    @property
    def endpoint(self) -> str:
        """The URL of every service."""
        return f"http://{_HOST}:{self.port}"

    def ask(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Talk to the emulator itself.

        Raises:
            OSError: it does not answer.
        """
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(  # noqa: S310 - always http to loopback
            f"{self.endpoint}{path}", data=data, headers={"Content-Type": "application/json"}
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=10) as answer:
            told: dict[str, Any] = json.loads(answer.read())
            return told


def ensure_up(federation: Federation, depth: Depth | None = None) -> dict[str, str]:
    """Have loopback AWS and the twin run for a federation.

    A running emulator is kept, with all that is deployed into it, and gets the accounts that it lacks.

    Args:
        federation: whose accounts and profiles there shall be.
        depth: how much of a body nodes get; None takes a running twin as it is.

    Returns:
        Environment variables under which boto3, the AWS CLI and the CDK reach loopback AWS and nothing else.

    Raises:
        PortTaken: ``FEDERATE_LOCAL_PORT`` is in use.
        NotReady: the emulator did not start.
        CannotGoSoDeep: this machine cannot give nodes such a body.
        OtherDepth: the twin runs at another depth.
    """
    accounts = list(dict.fromkeys(node.account for node in nodes(federation)))
    with _alone():
        emulator = _found() or _start(federation, accounts)
        emulator.ask("/_federate/accounts", {"accounts": accounts})
        environment = {
            "AWS_ENDPOINT_URL": emulator.endpoint,
            **credentials.write(federation, local()),
            **_past_the_proxy(),
        }
        shadow = twin.start(environment, federation, depth)
    return {**environment, "FEDERATE_TUNNEL": f"{_HOST}:{shadow.tunnel}"} if shadow.tunnel else environment


def down() -> None:
    """End the twin and the emulator; all that was deployed into it is gone. Does nothing if they are not up."""
    with _alone():
        _end()


def _end() -> None:
    twin.stop()
    emulator = _recorded()
    if emulator is not None:
        # The CDK commands of a command that was killed go on without it.
        for pid, began in process.reaching(emulator.endpoint, "--app", home()):
            process.end(pid, began)
        process.end(emulator.pid, emulator.began)
    # A command that was killed just after it had started an emulator could not write down that it did.
    for pid, began in process.running((_EMULATOR,), local()):
        process.end(pid, began)
    _state_file().unlink(missing_ok=True)


def status() -> dict[str, Any]:
    """Say what is up: ``{"up", "endpoint", "pid", "accounts", "federation", "twin"}``; an emulator that died is not."""
    emulator = _running()
    shadow = twin.status()
    if emulator is None:
        return {"up": False, "twin": shadow}
    return {
        "up": True,
        "endpoint": emulator.endpoint,
        "pid": emulator.pid,
        "accounts": emulator.ask("/_federate/health")["accounts"],
        "federation": emulator.federation,
        "twin": shadow,
    }


def _start(federation: Federation, accounts: list[str]) -> Emulator:
    if _recorded() is not None:
        print(
            "The emulator of AWS is gone, and with it everything that was deployed into it; starting a new one.",
            file=sys.stderr,
        )
        _end()
    port = _port()
    log = local() / "aws.log"
    with log.open("wb") as output:
        child = subprocess.Popen(  # noqa: S603 - our own module
            [
                *(sys.executable, "-m", _EMULATOR, "--port", str(port)),
                *("--accounts", ",".join(accounts), "--home", str(local())),
            ],
            cwd=Path(__file__).parents[2],
            env=_without_the_users_aws(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    emulator = Emulator(child.pid, process.started_at(child.pid) or "", port, federation.name)
    _state_file().write_text(json.dumps(asdict(emulator)))
    if _comes_up(emulator):
        return emulator
    process.end(emulator.pid, emulator.began)
    _state_file().unlink(missing_ok=True)
    raise NotReady(
        f"The emulator of AWS did not come up on port {port}: {_last_line(log)}",
        remedy=f"Its log is {log}. FEDERATE_LOCAL_PORT chooses another port.",
    )


def _without_the_users_aws() -> dict[str, str]:
    """Return the environment for the emulator: a profile or setting of the user's own has no business in it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return {**kept, "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull, "PYTHONUNBUFFERED": "1"}


def _past_the_proxy() -> dict[str, str]:
    """Keep what goes to loopback from a proxy that the user's environment names."""
    given = os.environ.get("NO_PROXY") or os.environ.get("no_proxy") or ""
    hosts = ",".join(dict.fromkeys([*filter(None, given.split(",")), _HOST]))
    return {"NO_PROXY": hosts, "no_proxy": hosts}


def _comes_up(emulator: Emulator) -> bool:
    """Wait until the emulator answers; give up when its process ends, or after ``READY_SECONDS``."""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and process.is_running(emulator.pid, emulator.began):
        if _answers(emulator):
            return True
        time.sleep(_POLL_SECONDS)
    return False


def _found() -> Emulator | None:
    """Return the running emulator; None if it is gone. One that runs is given time to answer before it is given up.

    Raises:
        NotReady: it runs and does not answer.
    """
    emulator = _recorded()
    if emulator is None or _comes_up(emulator):
        return emulator
    if process.is_running(emulator.pid, emulator.began):
        raise NotReady(
            f"The emulator of AWS (process {emulator.pid}, port {emulator.port}) runs and does not answer.",
            remedy=f"End it (kill {emulator.pid}) and start again; what was deployed into it is lost.",
        )
    return None


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Let one command at a time start or end things."""
    with (local() / "session.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _port() -> int:
    asked = os.environ.get("FEDERATE_LOCAL_PORT", "0")
    if not asked.isdigit() or int(asked) > 65535:
        raise PortTaken(
            f"FEDERATE_LOCAL_PORT is {asked!r}; a port is a number up to 65535.",
            remedy="Unset it, and a free port is chosen.",
        )
    with socket.socket() as probe:
        # As the server will do: an address that waits after its last use is no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, int(asked)))
        except OSError as error:
            raise PortTaken(
                f"Port {asked} on {_HOST} (FEDERATE_LOCAL_PORT) is in use by another process.",
                remedy="Choose another port, or unset FEDERATE_LOCAL_PORT and a free one is chosen.",
            ) from error
        port: int = probe.getsockname()[1]
        return port


def _state_file() -> Path:
    return local() / "state.json"


def _recorded() -> Emulator | None:
    """Return the emulator that was started last and not ended, whether it runs or not."""
    try:
        return Emulator(**json.loads(_state_file().read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _running() -> Emulator | None:
    emulator = _recorded()
    if emulator is None or not process.is_running(emulator.pid, emulator.began):
        return None
    return emulator if _answers(emulator) else None


def _answers(emulator: Emulator) -> bool:
    try:
        return bool(emulator.ask("/_federate/health")["pid"] == emulator.pid)
    except (OSError, ValueError, KeyError):
        return False


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"
