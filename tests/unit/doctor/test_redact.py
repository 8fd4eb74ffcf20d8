"""Canaries: each kind of secret, planted in a text, is not in what comes out; and what is none stays."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from infra.doctor.redact import redact

_PEM = (
    ec.generate_private_key(ec.SECP256R1())
    .private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    .decode("ascii")
)
BODY = _PEM.splitlines()[1]
# Of AWS's documentation: none of these opens anything.
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKE7"
TOKEN = "IQoJb3JpZ2luX2VjEJr//////////wEaCXVzLWVhc3QtMSJIMEYCIQDexamplexample0123456789"
WANDB = "0123456789abcdef0123456789abcdef01234567"
SIGNED = (
    "https://bucket.s3.amazonaws.com/run/manifest.json?X-Amz-Algorithm=AWS4-HMAC-SHA256"
    "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20261126&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d"
)


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (_PEM, BODY),
        ("\n".join(f"2026-11-26T09:00:00Z agent {line}" for line in _PEM.splitlines()), BODY),
        (json.dumps({"log": _PEM}), BODY),
        (_PEM.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"), BODY),
        (_PEM.replace("PRIVATE KEY", "RSA PRIVATE KEY").partition("-----END")[0], BODY),
        ("key id AKIAIOSFODNN7EXAMPLE was used", "AKIAIOSFODNN7EXAMPLE"),
        ("ASIAIOSFODNN7EXAMPLE", "ASIAIOSFODNN7EXAMPLE"),
        (f"aws_secret_access_key = {SECRET}", SECRET),
        (f"a bare one: {SECRET} in a line", SECRET),
        (json.dumps({"SecretAccessKey": SECRET}), SECRET),
        (json.dumps({"text": json.dumps({"Token": "short-and-secret"})}), "short-and-secret"),
        (f"token {TOKEN} was given", TOKEN),
        (f"GET {SIGNED} 403", "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d"),
        (f"GET {SIGNED} 403", "AKIAIOSFODNN7EXAMPLE"),
        ("Authorization: AWS4-HMAC-SHA256 Credential=x/y, Signature=abcdef0123", "abcdef0123"),
        ('{"Authorization": "Bearer abc.def"}', "abc.def"),
        (f"WANDB_API_KEY={WANDB}", WANDB),
        (f"logged in with {WANDB}", WANDB),
        ("wandb_v1_AbCdEfGhIjKlMnOpQrStUv", "wandb_v1_AbCdEfGhIjKlMnOpQrStUv"),
        ("ghp_0123456789abcdefghijABCDEFGHIJ012345", "ghp_0123456789abcdefghijABCDEFGHIJ012345"),
        ("https://user:hunter2@proxy.example:8080/", "hunter2"),
        ("password: hunter2", "hunter2"),
        ("--password=hunter2", "hunter2"),
        ("X-aws-ec2-metadata-token: AQAEAK0123", "AQAEAK0123"),
        ("no file data/mueller-anna.csv.gz in the bucket", "mueller-anna"),
        ("s3://bucket/data/sub/patient.csv", "patient.csv"),
        ("KeyError: patientunitstayid 141765", "141765"),
        ("row with patientunitstayid=141765 is bad", "141765"),
        ('{"uniquepid": "002-34851"}', "002-34851"),
        ("141765,F,34,Caucasian,Alive,Home,152.4", "Caucasian"),
        ("2026-11-26T09:00:00Z application 141765,F,34,Caucasian,Alive,Home,152.4", "Caucasian"),
        ("0.1\t0.2\t0.3\t0.4\t0.5\t0.6", "0.3"),
        ("│ 141765 ┆ F │ 34 │ Caucasian │ Alive │ Home │", "Caucasian"),
    ],
    # By number: the key is a new one in each process, and a test's name must not be.
    ids=lambda _: "canary",
)
def test_a_planted_secret_is_not_in_what_comes_out(text: str, secret: str) -> None:
    assert secret in text, "the canary is there to begin with"
    found, taken = redact(text)
    assert secret not in found
    assert sum(taken.values()) >= 1


@pytest.mark.parametrize(
    "text",
    [
        "INFO starts 20261125T160045Z-3a6e with release e3b0c44298fc",
        "sha256 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "instance i-0123456789abcdef0 is running; status checks: system ok, instance impaired",
        "account 111111111111, profile hospital-a, vpc pcx-0123456789abcdef0",
        "/var/lib/federate/root/releases/application/learning/trainer.py",
        "-----BEGIN CERTIFICATE-----",
        "round 3 of 50: loss 0.4213, AUROC 0.8123, sites hospital-a, hospital-b, hospital-c",
        "It is so, as we said, and then, in the end, nothing, or little, was left.",
        '{"round": 3, "rounds": 50, "auroc": 0.81, "auprc": 0.4, "loss": 0.3, "sites": 2, "bytes": 176808}',
        "=" * 80,
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text)[0] == text


def test_what_is_known_to_be_public_stays() -> None:
    assert redact(f'"serial": "{WANDB}"', public={WANDB})[0] == f'"serial": "{WANDB}"'


def test_the_users_folder_is_written_without_the_users_name() -> None:
    assert redact("/home/anna/fed/federation.yaml", home=Path("/home/anna"))[0] == "~/fed/federation.yaml"


def test_after_a_key_without_an_end_nothing_is_left() -> None:
    found, _ = redact(f"before\n{_PEM.partition('-----END')[0]}\nafter")
    assert found.startswith("before\n")
    assert "after" not in found


@pytest.mark.timeout(30)
def test_a_long_line_takes_no_long_time() -> None:
    lines = ["a-token" * 20_000, "x" * 100_000, "?" * 100_000, "eyJ-" * 20_000, "://" * 30_000, "stay" * 20_000]
    found, _ = redact("\n".join(lines))  # what grows with the square of a line's length would take minutes
    assert found.count("\n") == len(lines) - 1
