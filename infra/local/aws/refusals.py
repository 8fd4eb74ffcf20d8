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
        message = "AWS was not able to validate the provided access credentials"
        body = (
            f"<Response><Errors><Error><Code>AuthFailure</Code><Message>{message}</Message></Error></Errors></Response>"
        )
        return _xml(body, 401)
    if service == "s3":
        message = "The AWS Access Key Id you provided does not exist in our records."
        body = (
            f"<Error><Code>InvalidAccessKeyId</Code><Message>{message}</Message>"
            f"<AWSAccessKeyId>{escape(access_key)}</AWSAccessKeyId><RequestId>{uuid.uuid4()}</RequestId></Error>"
        )
        return _xml(body, 403)
    if service in _JSON:
        body = json.dumps({"__type": "UnrecognizedClientException", "message": _TOKEN_INVALID})
        return Response(body, status=400, content_type="application/x-amz-json-1.1")
    return query_error("InvalidClientTokenId", _TOKEN_INVALID, 403)


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
