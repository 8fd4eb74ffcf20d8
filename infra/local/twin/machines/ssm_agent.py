"""The stand-in for AWS's Systems Manager agent inside a machine of the twin: it runs what Run Command was told.

A script that stands alone: it is copied into the machine and run there as root, with Python, botocore and nothing else.
Who it is, it learns from the metadata service (version 2); its credentials are those of the instance's profile. AWS's
agent speaks a protocol that is not public; this one asks loopback AWS below ``/_federate/ssm/``, on the same host name
and through the same VPC endpoint as AWS's does, signed in the same way.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from typing import Any, BinaryIO

import botocore.session
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError, HTTPClientError
from botocore.httpsession import URLLib3Session

_SERVICE = "ssmmessages"
_VERSION = "3.3.0.0"
_METADATA = "http://169.254.169.254"
_WAIT_SECONDS = 15
_ANSWER_SECONDS = 45
_LONGEST_PAUSE_SECONDS = 15.0
#: Run Command tells no more of either output.
_OUTPUT_CHARACTERS = 24_000
_BYTES_A_CHARACTER = 4
_GRACE_SECONDS = 5.0
#: While a script that was told to end is ending, the account names it at every look.
_BREATH_SECONDS = 0.5
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_log = logging.getLogger("ssm-agent")


class Refused(Exception):
    """Loopback AWS refuses, and why."""


class Gate:
    """Loopback AWS, as an agent reaches it.

    Args:
        endpoint: URL of ``ssmmessages``.
        region: for which requests are signed.
        instance: id of this instance.
    """

    def __init__(self, endpoint: str, region: str, instance: str) -> None:
        self._endpoint, self._region, self._instance = endpoint.rstrip("/"), region, instance
        self._session = botocore.session.get_session()
        authority = os.environ.get("AWS_CA_BUNDLE") or True
        self._http = URLLib3Session(verify=authority, timeout=(5, _ANSWER_SECONDS), proxies={})

    def ask(self, action: str, **body: Any) -> Any:
        """Post one request and return its answer.

        Raises:
            Refused: the request is refused.
            BotoCoreError, HTTPClientError: there are no credentials, or no answer.
        """
        credentials = self._session.get_credentials()
        if credentials is None:
            raise Refused("there are no credentials of an instance profile")
        data = json.dumps({"instance": self._instance, **body})
        url, headers = f"{self._endpoint}/_federate/ssm/{action}", {"Content-Type": "application/json"}
        request = AWSRequest("POST", url, data=data, headers=headers)
        SigV4Auth(credentials.get_frozen_credentials(), _SERVICE, self._region).add_auth(request)
        answer = self._http.send(request.prepare())
        if answer.status_code != 200:
            raise Refused(f"{answer.status_code}: {answer.text[:300]}")
        return json.loads(answer.content)


class Work:
    """A script that runs, or has run.

    Args:
        told: as the account gives it: command, script, folder and timeout.
    """

    def __init__(self, told: dict[str, Any]) -> None:
        self.command = str(told["command"])
        self._script, self._folder = str(told["script"]), str(told["folder"]) or "/"
        self._timeout = float(told["timeout"])
        self._ended_early = ""
        self._child: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def run(self) -> dict[str, Any]:
        """Run the script to its end; return the report of it."""
        out, err = bytearray(), bytearray()
        try:
            with self._lock:
                if self._ended_early:
                    return self._report(-1, b"", b"")
                self._child = child = self._start()
        except OSError as error:
            return self._report(1, b"", f"the script cannot be run: {error}\n".encode())
        limit = threading.Timer(self._timeout, self.end, args=("timed-out",))
        readers = [
            threading.Thread(target=_keep_the_beginning, args=(pipe, into), daemon=True)
            for pipe, into in ((child.stdout, out), (child.stderr, err))
        ]
        for thread in (limit, *readers):
            thread.daemon = True
            thread.start()
        code = child.wait()
        limit.cancel()
        for reader in readers:  # what the script left running may hold its pipes for ever
            reader.join(_GRACE_SECONDS)
        return self._report(code, bytes(out), bytes(err))

    def end(self, outcome: str) -> None:
        """End the script and what it has started: ``cancelled`` or ``timed-out``."""
        with self._lock:
            if self._ended_early:
                return
            self._ended_early = outcome
            child = self._child
        if child is None or child.poll() is not None:
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(child.pid, number)
            except ProcessLookupError:
                return
            try:
                child.wait(_GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                continue
            if number == signal.SIGKILL:
                return

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603 - to run what the account's operator wrote is what it is for
            ["/bin/sh", "-c", self._script],
            cwd=self._folder,
            env={"PATH": _PATH, "HOME": "/root", "LANG": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def _report(self, code: int, out: bytes, err: bytes) -> dict[str, Any]:
        return {
            "command": self.command,
            "outcome": self._ended_early or "done",
            "exit_code": code if code >= 0 else 128 - code,
            "stdout": out.decode(errors="replace")[:_OUTPUT_CHARACTERS],
            "stderr": err.decode(errors="replace")[:_OUTPUT_CHARACTERS],
        }


class Agent:
    """Asks for work, does it, and reports it, until it is told to stop."""

    def __init__(self, gate: Gate, told: dict[str, str], wait: int = _WAIT_SECONDS) -> None:
        self._gate, self._told, self._wait = gate, told, wait
        self._works: dict[str, Work] = {}
        self.stop = threading.Event()

    def run(self) -> None:
        """Work until :attr:`stop` is set."""
        pause, known = 1.0, False
        while not self.stop.is_set():
            try:
                if not known:
                    self._gate.ask("register", **self._told)
                    known = True
                    _log.info("registered")
                self._do(self._gate.ask("poll", wait=self._wait))
                pause = 1.0
            except (Refused, BotoCoreError, HTTPClientError, OSError, ValueError) as error:
                known = False  # loopback AWS may be another one by now
                _log.warning("the account does not answer (%s); asked again in %g s", error, pause)
                self.stop.wait(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def close(self) -> None:
        """Stop, and end what runs."""
        self.stop.set()
        for work in list(self._works.values()):
            work.end("cancelled")

    def _do(self, due: dict[str, Any]) -> None:
        for told in due["run"]:
            work = Work(told)
            try:
                self._gate.ask("begin", command=work.command)
            except Refused as error:  # cancelled meanwhile, or begun by an agent before this one
                _log.info("%s is not begun: %s", work.command, error)
                continue
            self._works[work.command] = work
            threading.Thread(target=self._finish, args=(work,), daemon=True).start()
        for command in due["cancel"]:
            running = self._works.get(command)
            if running is None:  # of a life before this one
                self._tell({"command": command, "outcome": "cancelled", "exit_code": -1})
            else:
                threading.Thread(target=running.end, args=("cancelled",), daemon=True).start()
        if due["cancel"]:
            self.stop.wait(_BREATH_SECONDS)

    def _finish(self, work: Work) -> None:
        _log.info("%s begins", work.command)
        report = work.run()
        _log.info("%s: %s, exit code %s", work.command, report["outcome"], report["exit_code"])
        self._tell(report)
        self._works.pop(work.command, None)

    def _tell(self, report: dict[str, Any]) -> None:
        """Report until it is heard; what is refused, nobody waits for any more."""
        pause = 0.5
        while not self.stop.is_set():
            try:
                self._gate.ask("report", **report)
                return
            except Refused as error:
                _log.warning("%s: its report is refused: %s", report["command"], error)
                return
            except (BotoCoreError, HTTPClientError, OSError, ValueError) as error:
                _log.warning("%s cannot be reported yet: %s", report["command"], error)
                self.stop.wait(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


def _keep_the_beginning(pipe: BinaryIO, into: bytearray) -> None:
    """Read a pipe to its end, so that the script never waits, and keep no more than can be told."""
    with pipe:
        while piece := pipe.read1(65_536):  # type: ignore[attr-defined]
            into += piece[: max(0, _OUTPUT_CHARACTERS * _BYTES_A_CHARACTER - len(into))]


def _metadata(base: str, path: str) -> str:
    """Return what the metadata service says, by version 2; no proxy is asked."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    age = {"X-aws-ec2-metadata-token-ttl-seconds": "300"}
    asked = urllib.request.Request(f"{base}/latest/api/token", method="PUT", headers=age)  # noqa: S310 - http
    with opener.open(asked, timeout=5) as answer:
        token = answer.read().decode()
    asked = urllib.request.Request(  # noqa: S310 - http
        f"{base}/latest/meta-data/{path}", headers={"X-aws-ec2-metadata-token": token}
    )
    with opener.open(asked, timeout=5) as answer:
        found: str = answer.read().decode().strip()
        return found


def _who_am_i(base: str) -> tuple[str, str]:
    """Return id and Region of this instance; wait for a metadata service that is not there yet."""
    pause = 0.5
    while True:
        try:
            return _metadata(base, "instance-id"), _metadata(base, "placement/region")
        except OSError as error:
            _log.warning("the metadata service does not answer (%s); asked again in %g s", error, pause)
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


def _system() -> dict[str, str]:
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        release = {}
    return {
        "AgentVersion": _VERSION,
        "PlatformName": release.get("NAME", "Linux"),
        "PlatformVersion": release.get("VERSION_ID", ""),
        "ComputerName": platform.node(),
    }


def main(arguments: list[str] | None = None) -> int:
    """Run until a signal ends it; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="Example: ssm_agent.py --endpoint http://127.0.0.1:4566"
    )
    parser.add_argument("--endpoint", metavar="URL", help="default: https://ssmmessages.REGION.amazonaws.com")
    parser.add_argument("--wait", type=int, default=_WAIT_SECONDS, metavar="SECONDS", help="of one look (default 15)")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
    logging.getLogger("botocore").setLevel(logging.WARNING)
    base = os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", _METADATA).rstrip("/")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        instance, region = _who_am_i(base)
        endpoint = options.endpoint or f"https://{_SERVICE}.{region}.amazonaws.com"
        agent = Agent(Gate(endpoint, region, instance), _system(), options.wait)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: agent.stop.set())
        worker = threading.Thread(target=agent.run, daemon=True)
        worker.start()
        while worker.is_alive() and not agent.stop.is_set():
            agent.stop.wait(60)
        agent.close()
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
