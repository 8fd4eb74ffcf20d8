"""Counts what may have changed in EC2, so that who keeps a picture of it need not look at everything all the time."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_EC2 = re.compile(r"Credential=[^/]+/\d{8}/[^/]+/ec2/aws4_request")
_ACTION = re.compile(rb"(?:^|&)Action=(\w+)")
_ONLY_LOOKS = (b"Describe", b"Get", b"Search", b"List")


class Changes:
    """The emulated services, with a count of the EC2 requests that do more than look.

    Args:
        services: what answers the requests.
    """

    def __init__(self, services: WSGIApplication) -> None:
        self._services = services
        #: How many there were. It is raised before and after each: a picture that was made meanwhile is old as well.
        self.count = 0

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Any:
        """Answer one request."""
        if not _EC2.search(environ.get("HTTP_AUTHORIZATION", "")):
            return self._services(environ, start_response)
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        action = _ACTION.search(body)
        if action and action[1].startswith(_ONLY_LOOKS):
            return self._services(environ, start_response)
        self.count += 1
        try:
            return self._services(environ, start_response)
        finally:
            self.count += 1
