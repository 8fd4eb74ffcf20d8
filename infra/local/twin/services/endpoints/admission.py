"""Decide whether a request may pass an endpoint, and as what it is asked of loopback AWS."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

import h11

from infra.local.twin.services.endpoints.credential import Credential, credential_of
from infra.local.twin.services.endpoints.refusals import Refusal
from infra.local.twin.services.names import host_names, matches

#: The one part of the emulator's own paths that a node has a use for: where the agent's stand-in gets its commands.
_AGENT_SERVICE, _AGENT_PATH = "ssmmessages", "/_federate/ssm/"
_HOST = re.compile(r"[a-z0-9.-]{1,253}")
#: First parts of paths that the emulator answers by itself, whatever service a request is signed for.
_NOT_A_SERVICE = {"_federate", "moto-api", "favicon.ico", "latest", "v20180820"}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A VPC's endpoint of one service.

    Args:
        service: ``ssm`` of ``com.amazonaws.us-east-1.ssm``.
        region: the Region.
        account: who owns the VPC.
        id: of the endpoint, for messages.
    """

    service: str
    region: str
    account: str
    id: str = ""

    def __str__(self) -> str:
        """Name it as a user would look for it."""
        return self.id or f"com.amazonaws.{self.region}.{self.service}"


@dataclass(frozen=True, slots=True)
class Admitted:
    """A request that may pass.

    Args:
        target: for loopback AWS; a bucket stands in the path.
        credential: by whom it is signed.
    """

    target: bytes
    credential: Credential


def admit(request: h11.Request, endpoint: Endpoint, account_of_key: Callable[[str], str | None]) -> Admitted | Refusal:
    """Say whether a request may pass an endpoint.

    A key that was never issued passes: loopback AWS refuses it, in the words of the service.

    Args:
        request: its head.
        endpoint: where it arrived.
        account_of_key: (access key) to its account, or None.

    Raises:
        OSError: it cannot be found out whose the key is.
    """
    target = _target(request, endpoint)
    if isinstance(target, Refusal):
        return target
    credential = credential_of(request)
    if credential is None:
        return Refusal(403, *_unsigned(endpoint.service))
    wrong = _wrong_scope(credential, endpoint)
    if wrong is not None:
        return wrong
    account = account_of_key(credential.key)
    if account is not None and account != endpoint.account:
        message = (
            f"User of account {account} is not authorized to use the VPC endpoint {endpoint} "
            f"because it admits account {endpoint.account} only"
        )
        return Refusal(403, "AccessDenied", message)
    return Admitted(target, credential)


def _target(request: h11.Request, endpoint: Endpoint) -> bytes | Refusal:
    """Return what to ask for, with a bucket that the host names at the front of the path."""
    target = request.target.decode("ascii")
    host = _host(request)
    service = host_names(endpoint.service, endpoint.region)
    named = next((name for name in service if matches(host, name)), None)
    if named is None:
        return Refusal(421, "MisdirectedRequest", f"{endpoint} does not answer for {host or 'a request without host'}")
    if not target.startswith("/") or "#" in target:
        return Refusal(400, "InvalidURI", "The request's target must be a path")
    if named.startswith("*."):
        target = f"/{host.removesuffix(named[1:])}{target}"
    if not _is_open(target, endpoint.service):
        return Refusal(403, "AccessDenied", f"{endpoint} has nothing at this path")
    return target.encode("ascii")


def _is_open(target: str, service: str) -> bool:
    """Say whether a path is one of the service's, and none that the emulator keeps for itself."""
    if target.startswith("//"):
        return False
    path = unquote(urlsplit(target).path)
    if service == _AGENT_SERVICE:
        return path.startswith(_AGENT_PATH) and not {".", ".."} & set(path.split("/"))
    if service != "s3":
        return path == "/"
    first = path.lstrip("/").partition("/")[0]
    return not first.startswith("moto-api") and first not in _NOT_A_SERVICE


def _host(request: h11.Request) -> str:
    """Return the host, or nothing if there is none that DNS could know."""
    value = next((value for name, value in request.headers if name == b"host"), b"")
    host = value.decode("latin-1").lower().removesuffix(":443")
    return host if _HOST.fullmatch(host) else ""


def _unsigned(service: str) -> tuple[str, str]:
    if service == "s3":
        return "AccessDenied", "Access Denied"
    return "MissingAuthenticationToken", "Missing Authentication Token"


def _wrong_scope(credential: Credential, endpoint: Endpoint) -> Refusal | None:
    if credential.service != endpoint.service:
        what = f"correct service: '{endpoint.service}'."
    elif credential.region != endpoint.region:
        what = f"a valid region: '{endpoint.region}'."
    else:
        return None
    code = "AuthorizationHeaderMalformed" if endpoint.service == "s3" else "InvalidSignature"
    return Refusal(400, code, f"Credential should be scoped to {what}")
