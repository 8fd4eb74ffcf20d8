"""Read by whom, for which service and Region, a request says that it is signed (Signature Version 4).

Signatures are not checked, here or by loopback AWS; what is read is strict, so that both read the same.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl

import h11

_HEADER = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<credential>[^,\s]+), ?SignedHeaders=[^,\s]+, ?Signature=[0-9a-f]+"
)
_CREDENTIAL = re.compile(r"([A-Z0-9]{16,128})/(\d{8})/([a-z0-9-]+)/([a-z0-9-]+)/aws4_request")


@dataclass(frozen=True, slots=True)
class Credential:
    """The scope of a signature.

    Args:
        key: id of the access key.
        day: as YYYYMMDD.
        region: the Region that it is for.
        service: the service's signing name.
        in_query: whether the URL was signed, instead of a header.
    """

    key: str
    day: str
    region: str
    service: str
    in_query: bool

    def as_header(self) -> str:
        """Return a header that names the same scope, for who looks for it there."""
        scope = f"{self.key}/{self.day}/{self.region}/{self.service}/aws4_request"
        return f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"


def credential_of(request: h11.Request) -> Credential | None:
    """Return the credential of a request; None if it has none, or more than one, or one that is malformed."""
    headers = [value.decode("latin-1") for name, value in request.headers if name == b"authorization"]
    query = request.target.decode("latin-1").partition("?")[2]
    signed = [value for name, value in parse_qsl(query) if name.lower() == "x-amz-credential"]
    if len(headers) + len(signed) != 1:
        return None
    if signed:
        return _parse(signed[0], in_query=True)
    found = _HEADER.fullmatch(headers[0])
    return _parse(found["credential"], in_query=False) if found else None


def _parse(text: str, *, in_query: bool) -> Credential | None:
    found = _CREDENTIAL.fullmatch(text)
    if found is None:
        return None
    key, day, region, service = found.groups()
    return Credential(key, day, region, service, in_query)
