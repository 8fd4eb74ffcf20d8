"""What an endpoint answers when it does not let a request through, in the words and the protocol of the service.

Source: "Common errors" in the API references, and "Error responses" of the S3 API Reference.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from xml.sax.saxutils import escape

_JSON = {"ssm", "ssmmessages", "logs", "secretsmanager", "kms", "monitoring"}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request goes no further.

    Args:
        status: of HTTP.
        code: the name of the error, as S3 and the query protocol spell it.
        message: for whoever reads the client's exception.
    """

    status: int
    code: str
    message: str

    def render(self, service: str) -> tuple[bytes, list[tuple[str, str]]]:
        """Return body and headers as the service would send them."""
        request_id = str(uuid.uuid4())
        code, message = escape(self.code), escape(self.message)
        if service in _JSON:
            content = {"__type": f"{self.code.removesuffix('Exception')}Exception", "message": self.message}
            return json.dumps(content).encode(), [
                ("Content-Type", "application/x-amz-json-1.1"),
                ("x-amzn-RequestId", request_id),
            ]
        if service == "s3":
            body = f"<Error><Code>{code}</Code><Message>{message}</Message><RequestId>{request_id}</RequestId></Error>"
        else:
            error = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>"
            body = f"<ErrorResponse>{error}<RequestId>{request_id}</RequestId></ErrorResponse>"
        text = f'<?xml version="1.0" encoding="UTF-8"?>\n{body}'
        return text.encode(), [("Content-Type", "application/xml"), ("x-amz-request-id", request_id)]
