"""Answer instances as EC2's metadata service does, version 2; which instance asks is told by its source address.

Source: "Use the Instance Metadata Service to access instance metadata" of the EC2 User Guide.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

import h11

from infra.local.twin.services.conversation import BadRequest, Conversation, Patience
from infra.local.twin.services.metadata.instance import Credentials, Metadata
from infra.local.twin.services.metadata.tokens import Tokens
from infra.local.twin.services.metadata.tree import find, tree
from infra.local.twin.services.serving import Limits, serve_connections

_log = logging.getLogger(__name__)

_TOKEN_PATH = "latest/api/token"  # noqa: S105 - a path
_TOKEN_HEADER = b"x-aws-ec2-metadata-token"
_LIFE_HEADER = b"x-aws-ec2-metadata-token-ttl-seconds"
_LONGEST_SECONDS = 21_600
_MAX_BODY = 1024
_PATIENCE = Patience(head=15.0, piece=15.0)
_LIMITS = Limits(connections=256, per_address=32)
#: New credentials are there at the latest when the old ones have this long to live.
_RENEW_SECONDS = 900
_HEADERS = (("Server", "EC2ws"), ("Content-Type", "text/plain"))
_TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    500: "Internal Server Error",
}
_PAGE = (
    '<?xml version="1.0" encoding="iso-8859-1"?>\n<html xmlns="http://www.w3.org/1999/xhtml" xml:lang="en">\n'
    " <head>\n  <title>{status} - {title}</title>\n </head>\n <body>\n  <h1>{status} - {title}</h1>\n </body>\n</html>"
)


class MetadataService:
    """The service of one VPC.

    Args:
        find: (source address) to the instance that has it, or None.
        clock: seconds since the epoch, for tests of what expires.
    """

    def __init__(self, find: Callable[[str], Metadata | None], *, clock: Callable[[], float] = time.time) -> None:
        self._find = find
        self._clock = clock
        self._tokens = Tokens(clock)
        self._given: dict[tuple[str, str], Credentials] = {}
        self._getting = threading.Lock()

    def serve(self, listener: socket.socket) -> None:
        """Answer until the listener is shut; see :func:`infra.local.twin.services.serving.shut`."""
        serve_connections(listener, self._converse, limits=_LIMITS)

    def _converse(self, connection: socket.socket, address: str) -> None:
        conversation = Conversation(connection, _PATIENCE)
        try:
            while (request := conversation.request()) is not None:
                conversation.body_within(_MAX_BODY)
                self._answer(connection, conversation, request, address)
        except BadRequest as error:
            _refuse(conversation, error.status)

    def _answer(
        self, connection: socket.socket, conversation: Conversation, request: h11.Request, address: str
    ) -> None:
        metadata = self._find(address)
        path = request.target.decode("ascii").partition("?")[0].lstrip("/")
        if metadata is None or not metadata.enabled:
            _refuse(conversation, 403)
        elif path.rstrip("/") == _TOKEN_PATH:
            self._give_token(connection, conversation, request, metadata)
        elif request.method not in (b"GET", b"HEAD"):
            _refuse(conversation, 405)
        elif not self._may_read(request, metadata):
            _refuse(conversation, 401)
        else:
            self._tell(conversation, path, metadata)

    def _give_token(
        self, connection: socket.socket, conversation: Conversation, request: h11.Request, metadata: Metadata
    ) -> None:
        if request.method != b"PUT":
            return _refuse(conversation, 405)
        if _header(request, b"x-forwarded-for") is not None:
            return _refuse(conversation, 403)
        seconds = _seconds(_header(request, _LIFE_HEADER))
        if seconds is None:
            return _refuse(conversation, 400)
        # The limit is one of the answer to this PUT alone. The connection ends with it, because what the kernel sends
        # again after the limit was lifted would travel further than the token may.
        connection.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, metadata.hop_limit)
        token = self._tokens.give(metadata.instance, seconds)
        life = (_LIFE_HEADER.decode(), str(seconds))
        return conversation.answer(200, token.encode(), [*_HEADERS, life], last=True)

    def _may_read(self, request: h11.Request, metadata: Metadata) -> bool:
        token = _header(request, _TOKEN_HEADER)
        if token is None:
            return metadata.tokens == "optional"
        return self._tokens.is_good(metadata.instance, token.decode("latin-1"))

    def _tell(self, conversation: Conversation, path: str, metadata: Metadata) -> None:
        try:
            found = find(tree(metadata, lambda: self._credentials(metadata), self._clock()), path)
        except Exception:
            # Whatever the accounts say when they are asked on behalf of the instance, it is no fault of this service's.
            _log.exception("%s of %s", path, metadata.instance)
            return _refuse(conversation, 500)
        if found is None:
            return _refuse(conversation, 404)
        kind = "application/octet-stream" if isinstance(found, bytes) else "text/plain"
        content = found if isinstance(found, bytes) else found.encode()
        return conversation.answer(200, content, [("Server", "EC2ws"), ("Content-Type", kind)])

    def _credentials(self, metadata: Metadata) -> Credentials:
        """Return the credentials that were given last, or others when those end soon."""
        key = (metadata.instance, metadata.role)
        with self._getting:
            given = self._given.get(key)
            renew = datetime.fromtimestamp(self._clock() + _RENEW_SECONDS, UTC)
            if given is None or given["Expiration"] < renew:
                # One instance has one role at a time; what another has had is of no use to anybody.
                self._given = {old: kept for old, kept in self._given.items() if old[0] != metadata.instance}
                given = self._given[key] = metadata.credentials()
            return given


def _refuse(conversation: Conversation, status: int) -> None:
    page = _PAGE.format(status=status, title=_TITLES.get(status, "Error"))
    headers = [("Server", "EC2ws"), ("Content-Type", "text/html")]
    conversation.answer(status, page.encode(), headers)


def _header(request: h11.Request, name: bytes) -> bytes | None:
    return next((value for key, value in request.headers if key == name), None)


def _seconds(told: bytes | None) -> int | None:
    """Return a token's lifetime, or None if it is not one from 1 to 21,600."""
    if told is None or not told.isdigit() or len(told) > len(str(_LONGEST_SECONDS)):
        return None
    seconds = int(told)
    return seconds if 1 <= seconds <= _LONGEST_SECONDS else None
