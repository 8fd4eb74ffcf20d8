"""What the metadata service says of an instance that is to be taken away: a spot interruption, planned maintenance.

Version 2 of the service alone, with its own address or the one that AWS's libraries take from the environment. What it
says is asked anew each time and remembered nowhere: a notice is one instance's, so the node's next instance, and one
that has come through its maintenance, go on by themselves.

Source: "Spot Instance interruption notices", "EC2 instance rebalance recommendations" and "View scheduled events" in
the EC2 User Guide.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

_log = logging.getLogger(__name__)

#: As AWS advises for spot notices, which come two minutes ahead.
POLL_SECONDS = 5.0
#: Maintenance is announced days ahead: the node stops when it is this near.
LEAD_SECONDS = 300.0
_SERVICE = "http://169.254.169.254"
_SERVICE_VARIABLE, _DISABLED_VARIABLE = "AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_EC2_METADATA_DISABLED"
_TOKEN_SECONDS = 300
_TIMEOUT_SECONDS = 2.0
_LARGEST = 65_536
#: Events after which the instance is not what it was: it is restarted, moved or gone.
_DISRUPTIVE = ("instance-reboot", "system-reboot", "system-maintenance", "instance-retirement", "instance-stop")
_OVER = ("completed", "canceled")

#: Returns what is at a path of the metadata, or None where there is nothing; OSError where nobody answers.
Ask = Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class Notice:
    """Something will be done to the instance.

    Args:
        text: what and when, for the node's state.
        is_due: whether the node is to stop now; otherwise it is only told.
    """

    text: str
    is_due: bool


class MetadataService:
    """The instance's metadata; a token is kept for as long as it is good.

    Args:
        address: scheme, host and port.
        clock: seconds, monotonic.
    """

    def __init__(self, address: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._address, self._clock = address.rstrip("/"), clock
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy is ever asked
        self._token, self._until = "", 0.0

    def ask(self, path: str) -> str | None:
        """Return what is at a path below ``meta-data``; None where there is nothing.

        Raises:
            OSError: nobody answers, or it refuses.
        """
        if self._clock() >= self._until:
            life = {"X-aws-ec2-metadata-token-ttl-seconds": str(_TOKEN_SECONDS)}
            self._token = self._call("api/token", "PUT", life)
            self._until = self._clock() + _TOKEN_SECONDS / 2
        try:
            return self._call(f"meta-data/{path}", "GET", {"X-aws-ec2-metadata-token": self._token})
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            self._until = 0.0
            raise

    def _call(self, path: str, method: str, headers: dict[str, str]) -> str:
        request = urllib.request.Request(f"{self._address}/latest/{path}", method=method, headers=headers)  # noqa: S310
        with self._opener.open(request, timeout=_TIMEOUT_SECONDS) as answer:
            found: bytes = answer.read(_LARGEST)
            return found.decode("utf-8", errors="replace")


def of_this_instance(environment: Mapping[str, str] = os.environ) -> Ask | None:
    """Return what asks this instance's metadata service; None where the environment says that there is none."""
    if environment.get(_DISABLED_VARIABLE, "").lower() == "true":
        return None
    return MetadataService(environment.get(_SERVICE_VARIABLE) or _SERVICE).ask


def look(ask: Ask, now: datetime) -> Notice | None:
    """Return the notice that counts most: a spot interruption, then maintenance, then a recommendation.

    A rebalance recommendation is told and not acted on: it says that the risk has grown, and often no more comes.

    Raises:
        OSError: the metadata service does not answer.
    """
    spot = _document(ask("spot/instance-action"))
    if isinstance(spot, dict):
        return Notice(f"spot notice: {spot.get('action', 'interruption')} at {spot.get('time', 'any moment')}", True)
    scheduled = _document(ask("events/maintenance/scheduled"))
    events = [event for event in scheduled if isinstance(event, dict)] if isinstance(scheduled, list) else []
    planned = [event for event in events if event.get("Code") in _DISRUPTIVE and event.get("State") not in _OVER]
    if planned:
        first = min(planned, key=lambda event: _moment(event) or now)
        moment = _moment(first)
        is_due = moment is None or (moment - now).total_seconds() <= LEAD_SECONDS
        return Notice(f"maintenance notice: {first['Code']} at {first.get('NotBefore', 'any moment')}", is_due)
    rebalance = _document(ask("events/recommendations/rebalance"))
    if isinstance(rebalance, dict):
        return Notice(f"AWS recommends another instance since {rebalance.get('noticeTime', 'just now')}", False)
    return None


class Notices:
    """Looks for notices in a thread of its own: one that comes while a large file is fetched is heard all the same.

    Args:
        ask: asks the metadata service; None where there is none, and then there is never a notice.
        heard: called when there is another notice than before, or none any more.
        seconds: between two looks.
    """

    def __init__(self, ask: Ask | None, heard: Callable[[], object], seconds: float = POLL_SECONDS) -> None:
        self._ask, self._heard, self._seconds = ask, heard, seconds
        self._notice: Notice | None = None
        self._is_silent = False
        self._end = threading.Event()

    def start(self) -> None:
        """Look once, so that a node that is started again under a notice does not begin; then go on looking."""
        if self._ask is not None:
            self.step()
            threading.Thread(target=self._run, name="notices", daemon=True).start()

    def close(self) -> None:
        """Look no more."""
        self._end.set()

    def now(self) -> Notice | None:
        """Return the notice that is in force."""
        return self._notice

    def step(self) -> None:
        """Look once; where nobody answers, what was known last goes on to count."""
        if self._ask is None:
            return
        try:
            found = look(self._ask, datetime.now(UTC))
        except OSError as error:
            if not self._is_silent:
                _log.warning("the metadata service does not answer: %s", error)
            self._is_silent = True
            return
        self._is_silent = False
        if found != self._notice:
            self._notice = found
            if found is not None:
                _log.warning("%s", found.text)
            self._heard()

    def _run(self) -> None:
        while not self._end.wait(self._seconds):
            self.step()


def _document(text: str | None) -> object:
    try:
        return json.loads(text) if text else None
    except ValueError:
        return None


def _moment(event: Mapping[str, object]) -> datetime | None:
    """Return when an event begins, as the service writes it: ``21 Jan 2019 09:00:43 GMT``."""
    try:
        return datetime.strptime(str(event.get("NotBefore")), "%d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC)
    except ValueError:
        return None
