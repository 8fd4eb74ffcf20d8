"""Presigned URLs, signed by botocore and checked by a verifier that was written from the description alone."""

from __future__ import annotations

import time
from urllib.parse import urlsplit

import pytest
from tunnels import ENDPOINT, KEY, OTHERS, signed

from infra.local.twin.services.signature import AccessKey, BadSignature, Signed, verify

_KEYS = {key.id: key for key in (KEY, OTHERS)}


def check(url: str, *, later: float = 0.0, host: str = ENDPOINT.dns_name, method: str = "GET") -> Signed:
    parts = urlsplit(url)
    return verify(
        f"{parts.path}?{parts.query}",
        host,
        service="ec2-instance-connect",
        key_of=_KEYS.get,
        now=time.time() + later,
        method=method,
    )


def test_what_botocore_signs_is_valid_and_says_whose_key_it_was() -> None:
    found = check(signed())
    assert (found.key, found.region) == (KEY, "us-east-1")
    assert found.query["privateIpAddress"] == "10.10.0.10"


def test_a_session_token_and_signs_that_must_be_quoted_are_signed_too() -> None:
    assert check(signed(token="a/b+c=d e~*", note="ä b/+&=%")).query["note"] == "ä b/+&=%"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("privateIpAddress=10.10.0.10", "privateIpAddress=10.10.0.11"),
        ("remotePort=22", "remotePort=3389"),
        ("/openTunnel", "/openTunne1"),
        ("X-Amz-Expires=60", "X-Amz-Expires=6000"),
        (KEY.id, OTHERS.id),
        ("us-east-1%2F", "us-west-2%2F"),
        ("remotePort=22", "remotePort=22&more=1"),
    ],
)
def test_a_url_in_which_anything_was_changed_is_refused(old: str, new: str) -> None:
    url = signed()
    assert old in url
    with pytest.raises(BadSignature, match="does not match"):
        check(url.replace(old, new))


def test_the_method_and_the_host_are_signed() -> None:
    with pytest.raises(BadSignature, match="does not match"):
        check(signed(), host="elsewhere.amazonaws.com")
    with pytest.raises(BadSignature, match="does not match"):
        check(signed(), method="POST")


def test_a_wrong_secret_is_refused() -> None:
    with pytest.raises(BadSignature, match="does not match"):
        check(signed(AccessKey(KEY.id, KEY.account, "a guess")))


def test_a_key_that_was_never_issued_is_refused() -> None:
    with pytest.raises(BadSignature, match="never issued"):
        check(signed(AccessKey("AKIAEMUL999999999999", "999999999999", "x")))


def test_a_signature_is_valid_until_it_expires_and_no_longer() -> None:
    url = signed(expires=60)
    check(url, later=55)
    with pytest.raises(BadSignature, match="expired"):
        check(url, later=62)


def test_a_signature_of_the_future_is_refused() -> None:
    with pytest.raises(BadSignature, match="future"):
        check(signed(), later=-400)


def test_a_signature_for_another_service_is_refused() -> None:
    with pytest.raises(BadSignature, match="signed for ssm"):
        check(signed(service="ssm"))


@pytest.mark.parametrize("name", ["Algorithm", "Credential", "Date", "Expires", "SignedHeaders", "Signature"])
def test_a_request_that_lacks_a_part_of_its_signature_is_refused(name: str) -> None:
    parts = urlsplit(signed())
    left = "&".join(part for part in parts.query.split("&") if not part.startswith(f"X-Amz-{name}="))
    with pytest.raises(BadSignature):
        check(parts._replace(query=left).geturl())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("X-Amz-Expires=60", "X-Amz-Expires=0"),
        ("X-Amz-Expires=60", "X-Amz-Expires=9999999"),
        ("X-Amz-Expires=60", "X-Amz-Expires=-1"),
        ("X-Amz-SignedHeaders=host", "X-Amz-SignedHeaders="),
        ("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1"),
        ("aws4_request", "aws5_request"),
        ("X-Amz-Date=2", "X-Amz-Date=x"),
        ("remotePort=22", "remotePort=22&remotePort=23"),
        ("remotePort=22", "remotePort=%FF"),
    ],
)
def test_what_is_no_signature_is_refused_before_any_secret_is_used(old: str, new: str) -> None:
    url = signed()
    assert old in url
    with pytest.raises(BadSignature):
        check(url.replace(old, new))


def test_the_empty_query_is_refused() -> None:
    with pytest.raises(BadSignature, match="not signed"):
        check("https://host/openTunnel")
