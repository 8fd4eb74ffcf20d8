"""A VPC endpoint: TLS under the service's real names, one account only, and loopback AWS behind it."""

from __future__ import annotations

import logging
import socket
import ssl
from collections.abc import Callable

import h11

from infra.local.twin.services.authority import TwinAuthority
from infra.local.twin.services.conversation import BadRequest, Conversation, Patience
from infra.local.twin.services.endpoints.admission import Endpoint, admit
from infra.local.twin.services.endpoints.refusals import Refusal
from infra.local.twin.services.endpoints.upstream import Upstream, UpstreamBroken, headers_back
from infra.local.twin.services.names import host_names
from infra.local.twin.services.serving import Limits, serve_connections

__all__ = ["OVERLAP", "Endpoint", "EndpointService"]

_log = logging.getLogger(__name__)

#: What is watched begins with so many bytes of what came before it in the same request.
OVERLAP = 256
#: A body that was refused is read no further than this.
_DRAIN_BYTES = 16 * 1024 * 1024
_UNAVAILABLE = Refusal(503, "ServiceUnavailable", "Loopback AWS does not answer; please try again.")


class EndpointService:
    """The endpoints of a twin; each listener is one endpoint.

    Args:
        upstream: host and port of loopback AWS.
        authority: issues the certificates.
        account_of_key: (access key) to its account; None for a key that was never issued. :class:`KeyAccounts` asks
            loopback AWS.
        watch: is shown all that nodes send, in plain: head and body of each request, of refused ones too. Each piece
            begins with the last 256 bytes of the piece before, so that a word of that length is once seen whole.
        limits: how many connections each listener has at once.
    """

    def __init__(
        self,
        upstream: tuple[str, int],
        authority: TwinAuthority,
        account_of_key: Callable[[str], str | None],
        *,
        watch: Callable[[bytes], None] | None = None,
        limits: Limits = Limits(),  # noqa: B008 - frozen
    ) -> None:
        self._upstream = upstream
        self._authority = authority
        self._account_of_key = account_of_key
        self._watch = watch
        self._limits = limits

    def serve(self, listener: socket.socket, endpoint: Endpoint) -> None:
        """Answer for an endpoint until the listener is shut; see :func:`infra.local.twin.services.serving.shut`."""
        context = self._authority.context_for(host_names(endpoint.service, endpoint.region))

        def secure(connection: socket.socket) -> ssl.SSLSocket:
            return context.wrap_socket(connection, server_side=True)

        def handle(connection: socket.socket, _address: str) -> None:
            self._converse(connection, endpoint)

        serve_connections(listener, handle, limits=self._limits, wrap=secure)

    def _converse(self, connection: socket.socket, endpoint: Endpoint) -> None:
        seen = _Overlapping(self._watch) if self._watch is not None else None
        conversation = Conversation(connection, Patience(), seen=seen)
        try:
            while (request := conversation.request()) is not None:
                self._answer(conversation, request, endpoint)
        except BadRequest as error:
            _refuse(conversation, Refusal(error.status, "BadRequest", str(error)), endpoint)

    def _answer(self, conversation: Conversation, request: h11.Request, endpoint: Endpoint) -> None:
        try:
            admitted = admit(request, endpoint, self._account_of_key)
        except OSError as error:
            _log.warning("%s: %s", endpoint, error)
            admitted = _UNAVAILABLE
        if isinstance(admitted, Refusal):
            _log.info("%s refuses: %s", endpoint, admitted.message)
            return _refuse(conversation, admitted, endpoint)
        header = admitted.credential.as_header() if admitted.credential.in_query else None
        with Upstream(self._upstream) as upstream:
            try:
                response = upstream.ask(request, admitted.target, header, conversation.body())
            except UpstreamBroken as error:
                _log.warning("%s: %s", endpoint, error)
                return _refuse(conversation, _UNAVAILABLE, endpoint)
            self._pass_back(conversation, response, upstream)
        return conversation.drain(_DRAIN_BYTES)

    def _pass_back(self, conversation: Conversation, response: h11.Response, upstream: Upstream) -> None:
        """Stream the answer; if it breaks off, so does the connection, because its head was already sent.

        Raises:
            ConnectionAbortedError: it broke off.
        """
        headers = headers_back(response)
        if not conversation.is_read:
            headers.append((b"Connection", b"close"))
        conversation.begin(h11.Response(status_code=response.status_code, headers=headers, reason=response.reason))
        try:
            for piece in upstream.body():
                conversation.send(piece)
        except UpstreamBroken as error:
            raise ConnectionAbortedError(str(error)) from error
        conversation.end()


class _Overlapping:
    """Shows each piece with the end of the one before it."""

    def __init__(self, watch: Callable[[bytes], None]) -> None:
        self._watch = watch
        self._before = b""

    def __call__(self, piece: bytes) -> None:
        shown = self._before + piece
        self._before = shown[-OVERLAP:]
        self._watch(shown)


def _refuse(conversation: Conversation, refusal: Refusal, endpoint: Endpoint) -> None:
    body, headers = refusal.render(endpoint.service)
    conversation.answer(refusal.status, body, headers)
    conversation.drain(_DRAIN_BYTES)
