"""What each service answers to a request whose access key was never issued.

Source: "Common errors" in the API references of EC2, S3, IAM, STS and CloudFormation, and of the JSON services.
"""

from __future__ import annotations

import json
import uuid
from xml.sax.saxutils import escape

from werkzeug.wrappers import Response

_TOKEN_INVALID = "The security token included in the request is invalid."  # noqa: S105 - a message
#: Services that speak JSON.
_JSON = {
    "ssm",
    "logs",
    "secretsmanager",
    "kms",
    "dynamodb",
    "monitoring",
    "tagging",
    "ecr",
    "ec2-instance-connect",
    "ssmmessages",
}


def unknown_key(service: str, access_key: str) -> Response:
    """Refuse an access key in the words of the service."""
    if service == "ec2":
        return error(service, "AuthFailure", "AWS was not able to validate the provided access credentials", 401)
    if service == "s3":
        message = "The AWS Access Key Id you provided does not exist in our records."
        details = f"<AWSAccessKeyId>{escape(access_key)}</AWSAccessKeyId>"
        return error(service, "InvalidAccessKeyId", message, 403, details)
    if service in _JSON:
        return error(service, "UnrecognizedClientException", _TOKEN_INVALID, 400)
    return error(service, "InvalidClientTokenId", _TOKEN_INVALID, 403)


def error(service: str, code: str, message: str, status: int, details: str = "") -> Response:
    """Return an error in the form in which a service tells it.

    Args:
        service: as a signature names it.
        code: the error's code.
        message: its text.
        status: the HTTP status.
        details: further elements, for S3.
    """
    if service == "ec2":
        told = f"<Code>{escape(code)}</Code><Message>{escape(message)}</Message>"
        return _xml(f"<Response><Errors><Error>{told}</Error></Errors></Response>", status)
    if service == "s3":
        told = f"<Code>{escape(code)}</Code><Message>{escape(message)}</Message>{details}"
        return _xml(f"<Error>{told}<RequestId>{uuid.uuid4()}</RequestId></Error>", status)
    if service in _JSON:
        body = json.dumps({"__type": code, "message": message})
        return Response(body, status=status, content_type="application/x-amz-json-1.1")
    return query_error(code, message, status)


def missing_key() -> Response:
    """Refuse a request that is not signed at all."""
    return query_error("MissingAuthenticationToken", "Request is missing Authentication Token", 403)


def query_error(code: str, message: str, status: int, fault: str = "Sender") -> Response:
    """Return an error of the AWS Query protocol."""
    body = (
        f"<ErrorResponse><Error><Type>{fault}</Type><Code>{escape(code)}</Code><Message>{escape(message)}</Message></Error>"
        f"<RequestId>{uuid.uuid4()}</RequestId></ErrorResponse>"
    )
    return _xml(body, status)


def _xml(body: str, status: int) -> Response:
    return Response(body, status=status, content_type="text/xml")
