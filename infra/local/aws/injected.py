"""Failures on demand: what loopback AWS is told to answer to a call instead of doing it.

A rule names a service and an operation, and may name an account, how many calls pass first, and how often it answers.
Calls that CloudFormation makes for a stack's resources are subject to it as well as those of a command. The toolkit's
own address ``/_federate/failures`` takes the rules; AWS has nothing of the kind.
"""

from __future__ import annotations

import io
import re
import socket
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from werkzeug.wrappers import Response

from infra.local.aws import refusals

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from infra.local.aws.accounts import Accounts

_SCOPE = re.compile(r"Credential=([^/]+)/\d{8}/[^/]+/([^/]+)/aws4_request")
_ACTION = re.compile(r"(?:^|&)Action=(\w+)")
#: A rule of this status is no answer: the connection ends.
BROKEN_CONNECTION = 0


@dataclass
class Rule:
    """What to answer to which calls.

    Args:
        service: as a signature names it: ``ec2``, ``cloudformation``.
        operation: the API's name of it: ``RunInstances``; at S3, which has none on the wire, ``PUT object``,
            ``DELETE bucket``, ``PUT bucket?policy`` and so on; ``*`` is any.
        code: the error's code.
        message: its text.
        status: the HTTP status; :data:`BROKEN_CONNECTION` for no answer at all.
        account: whose calls; None is any account's.
        times: how many calls are answered so; None is every one.
        after: how many calls pass before.
    """

    service: str
    operation: str
    code: str
    message: str
    status: int = 400
    account: str | None = None
    times: int | None = None
    after: int = 0
    #: When it has answered, in seconds since 1970.
    answered: list[float] = field(default_factory=list)
    _passed: int = 0

    def takes(self, service: str, operation: str, account: str | None) -> bool:
        """Say whether this call is answered by the rule, and count it."""
        is_meant = service == self.service and self.operation in ("*", operation) and self.account in (None, account)
        if not is_meant or (self.times is not None and len(self.answered) >= self.times):
            return False
        if self._passed < self.after:
            self._passed += 1
            return False
        self.answered.append(time.time())
        return True

    def answer(self) -> Response:
        """Return the error in the form of the service.

        Raises:
            ConnectionAbortedError: there shall be no answer.
        """
        if self.status == BROKEN_CONNECTION:
            raise ConnectionAbortedError(self.message)
        return refusals.error(self.service, self.code, self.message, self.status)


class Injected:
    """Services some calls to which are answered by rules.

    Args:
        accounts: to know whose an access key is.
    """

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._rules: list[Rule] = []
        self._lock = threading.Lock()

    def replace(self, rules: Iterable[Mapping[str, Any]]) -> None:
        """Let these rules hold, and no others.

        Raises:
            TypeError: a rule lacks something, or has what none has.
        """
        made = [Rule(**{name: value for name, value in rule.items() if name != "answered"}) for rule in rules]
        with self._lock:
            self._rules = made

    def told(self) -> list[dict[str, Any]]:
        """Return the rules with when they have answered."""
        shown = ("service", "operation", "code", "account", "answered")
        with self._lock:
            return [{name: getattr(rule, name) for name in shown} for rule in self._rules]

    def answer(self, environ: WSGIEnvironment) -> Response | None:
        """Return what a rule answers to a request, or None if none is for it."""
        if not self._rules:
            return None
        scope = _SCOPE.search(environ.get("HTTP_AUTHORIZATION", ""))
        if scope is None:
            return None
        service, operation = scope[2], _operation(environ)
        account = self._accounts.of_key(scope[1])
        with self._lock:
            rule = next((rule for rule in self._rules if rule.takes(service, operation, account)), None)
        if rule is not None and rule.status == BROKEN_CONNECTION:
            connection = environ.get("werkzeug.socket")
            if connection is not None:  # the server would keep it open for the next request
                connection.shutdown(socket.SHUT_RDWR)
        return None if rule is None else rule.answer()

    def around(self, services: WSGIApplication) -> WSGIApplication:
        """Return services that answer by the rules first."""

        def application(environ: WSGIEnvironment, start_response: StartResponse) -> Any:
            refused = self.answer(environ)
            return services(environ, start_response) if refused is None else refused(environ, start_response)

        return application


def _operation(environ: WSGIEnvironment) -> str:
    """Return the name of the operation that a request is for; what is read of it is put back."""
    target = environ.get("HTTP_X_AMZ_TARGET", "")
    if target:
        return str(target).rpartition(".")[2]
    found = _ACTION.search(environ.get("QUERY_STRING", ""))
    if found is None and "urlencoded" in environ.get("CONTENT_TYPE", ""):
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        found = _ACTION.search(body.decode("utf-8", "replace"))
    if found is not None:
        return found[1]
    what = "object" if environ.get("PATH_INFO", "").strip("/").partition("/")[2] else "bucket"
    part = environ.get("QUERY_STRING", "").partition("&")[0]
    which = f"?{part}" if part and "=" not in part else ""
    return f"{environ['REQUEST_METHOD']} {what}{which}"
