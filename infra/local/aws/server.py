"""The server: one address for every service of every account; CloudFormation is ours, the rest is moto's."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from werkzeug.wrappers import Request, Response

from infra.local.aws import agent_gate, refusals, seeds
from infra.local.aws.accounts import Accounts
from infra.local.aws.changes import Changes
from infra.local.aws.injected import Injected

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

#: Where the toolkit asks whether the emulator is ready, and lets further accounts exist. Not an address of AWS.
HEALTH, ACCOUNTS = "/_federate/health", "/_federate/accounts"
#: Followed by the id of an access key: whose it is. The twin asks, on behalf of its VPC endpoints.
KEYS = "/_federate/keys/"
#: Where a test sets a quota: ``{"account", "region", "service", "code", "value"}``. They are told, never enforced.
QUOTAS = "/_federate/quotas"
#: Where who plays an instance's metadata service asks for the keys of EC2 Instance Connect: ``?instance=i-…&user=…``.
SSH_KEYS = "/_federate/ssh-keys"
#: Where who gives instances a body takes (POST) those that ``ec2:RebootInstances`` was called for since the last time.
REBOOTS = "/_federate/reboots"
#: Takes the rules of :mod:`infra.local.aws.injected` (POST), and tells when they have answered (GET).
FAILURES = "/_federate/failures"
_SCOPE = re.compile(r"Credential=([^/]+)/\d{8}/([^/]+)/([^/]+)/aws4_request")


class LoopbackAws:
    """The emulated AWS as a WSGI application.

    Args:
        accounts: those that exist; the first owns the federation's machine image.
        patience: seconds for which a call that starts a stack operation waits for its end.
    """

    def __init__(self, accounts: Iterable[str], *, patience: float = 20.0) -> None:
        self.accounts = Accounts(accounts)
        seeds.configure_moto()
        # moto reads its settings when it is imported, so it is imported here and not above.
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

        from infra.local.aws import additions, repairs
        from infra.local.aws.cfn.api import Api
        from infra.local.aws.cfn.engine import Engine
        from infra.local.aws.cfn.wire import Wire
        from infra.local.aws.clients import InProcessClients
        from infra.local.aws.resources import handlers

        repairs.apply(self.accounts)
        additions.apply()
        seeds.seed_parameters()
        seeds.own_image(next(iter(self.accounts)))
        self._services = Changes(DomainDispatcherApplication(create_backend_app))
        self.failures = Injected(self.accounts)
        self.clients = InProcessClients(self.failures.around(self._services))
        self._cloudformation = Wire(Api(Engine(handlers(), self.clients, patience=patience)))

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Any:
        """Answer one request."""
        path = environ.get("PATH_INFO", "")
        if path.startswith("/_federate/") and not path.startswith(agent_gate.PREFIX):
            return self._own(Request(environ), path)(environ, start_response)
        scope = _SCOPE.search(environ.get("HTTP_AUTHORIZATION", "")) or _SCOPE.search(_presigned(environ))
        if scope is None:
            return refusals.missing_key()(environ, start_response)
        key, region, service = scope.groups()
        account = self.accounts.of_key(key)
        if account is None:
            return refusals.unknown_key(service, key)(environ, start_response)
        if path.startswith(agent_gate.PREFIX):
            return agent_gate.answer(Request(environ), account, region)(environ, start_response)
        refused = self.failures.answer(environ)
        if refused is not None:
            return refused(environ, start_response)
        if service == "cloudformation":
            return self._cloudformation.answer(Request(environ), account, region)(environ, start_response)
        return self._services(environ, start_response)

    def _own(self, request: Request, path: str) -> Response:
        if path.startswith(KEYS):
            return self._owner(path.removeprefix(KEYS))
        if path == ACCOUNTS and request.method == "POST":
            self.accounts.add(request.get_json()["accounts"])
        elif path == QUOTAS and request.method == "POST":
            return self._set_quota(request)
        elif path == SSH_KEYS:
            return self._ssh_keys(request)
        elif path == REBOOTS and request.method == "POST":
            return self._reboots()
        elif path == FAILURES:
            if request.method == "POST":
                self.failures.replace(request.get_json()["rules"])
            return Response(json.dumps({"rules": self.failures.told()}), content_type="application/json")
        elif path != HEALTH:
            return Response("", status=404)
        state = {"pid": os.getpid(), "accounts": list(self.accounts), "changes": self._services.count}
        return Response(json.dumps(state), content_type="application/json")

    def _owner(self, access_key: str) -> Response:
        account = self.accounts.of_key(access_key)
        if account is None:
            return Response("", status=404)
        owner = {"account": account, "arn": self.accounts.principal_of(access_key)}
        return Response(json.dumps(owner), content_type="application/json")

    def _set_quota(self, request: Request) -> Response:
        from infra.local.aws.additions.account_facts_api import QUOTAS as SET
        from infra.local.aws.additions.quotas import NoSuchQuota

        told = request.get_json()
        try:
            SET.put(told["account"], told["region"], told["service"], told["code"], float(told["value"]))
        except (NoSuchQuota, KeyError, ValueError) as error:
            return Response(str(error), status=400)
        return Response("{}", content_type="application/json")

    def _ssh_keys(self, request: Request) -> Response:
        from infra.local.aws.additions.ssh_keys_api import KEYS as SENT

        found = SENT.of(request.args.get("instance", ""), request.args.get("user", ""))
        return Response(json.dumps(found), content_type="application/json")

    def _reboots(self) -> Response:
        from infra.local.aws.additions.reboots import REBOOTS as ASKED

        return Response(json.dumps({"instances": ASKED.take()}), content_type="application/json")


def _presigned(environ: WSGIEnvironment) -> str:
    """Return the credential of a presigned URL in the form of the header."""
    found = re.search(r"X-Amz-Credential=([^&]+)", environ.get("QUERY_STRING", ""))
    return f"Credential={found[1].replace('%2F', '/')}" if found else ""


def serve(accounts: Iterable[str], port: int, twin: Path | None = None) -> None:
    """Serve on 127.0.0.1 until the process ends.

    Args:
        accounts: those that exist.
        port: where to listen.
        twin: the twin's folder, with the consoles of instances.

    Raises:
        OSError: the port is taken.
    """
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    app = LoopbackAws(accounts)
    from infra.local.aws.additions.console_output import CONSOLES

    CONSOLES.twin = twin
    from moto.moto_server.werkzeug_app import MotoRequestHandler

    make_server("127.0.0.1", port, app, threaded=True, request_handler=MotoRequestHandler).serve_forever()
