"""An authority is made once and whole, and one that cannot be trusted is not used."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from infra.identity import Authority, UnusableAuthority
from infra.identity import folder as folder_module

OPEN = """
import sys
from pathlib import Path
from infra.identity import Authority
print("ready", flush=True)
sys.stdin.readline()
for folder in sys.argv[1:]:
    sys.stdout.write(Authority.open(Path(folder), "eicu").pem.hex() + "\\n")
"""


def test_it_is_an_authority_for_ten_years_that_may_make_no_other(authority: Authority) -> None:
    certificate = x509.load_pem_x509_certificate(authority.pem)
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    assert certificate.subject.rfc4514_string() == "CN=eicu authority"
    assert constraints.critical
    assert constraints.value == x509.BasicConstraints(ca=True, path_length=0)
    assert usage.critical
    assert (usage.value.key_cert_sign, usage.value.crl_sign, usage.value.digital_signature) == (True, True, False)
    assert isinstance(certificate.public_key(), ec.EllipticCurvePublicKey)
    assert 10 * 365 <= (certificate.not_valid_after_utc - datetime.now(UTC)).days <= 10 * 366
    certificate.verify_directly_issued_by(certificate)


def test_it_is_made_once(authority: Authority, folder: Path) -> None:
    assert Authority.open(folder, "eicu").pem == authority.pem
    assert Authority.open(folder.with_name("other"), "eicu").pem != authority.pem


def test_only_its_owner_can_use_it(authority: Authority, folder: Path) -> None:
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "key.pem").stat().st_mode) == 0o600


def test_an_empty_folder_is_filled_and_closed_to_others(folder: Path) -> None:
    folder.mkdir(parents=True, mode=0o755)
    Authority.open(folder, "eicu")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


class Crash(BaseException):
    """The process is gone: no handler of ours catches it."""


@pytest.mark.parametrize("step", range(5))
def test_a_crash_at_any_step_leaves_no_authority_or_a_whole_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """The steps: certificate, key and folder are made durable, the folder is renamed, its parent is made durable."""
    done = 0

    def crash_or(go_on: Callable[..., object]) -> Callable[..., object]:
        def either(*arguments: object) -> object:
            nonlocal done
            if done == step:
                raise Crash
            done += 1
            return go_on(*arguments)

        return either

    with monkeypatch.context() as patched:
        patched.setattr(folder_module.os, "fsync", crash_or(os.fsync))
        patched.setattr(Path, "replace", crash_or(Path.replace))
        with pytest.raises(Crash):
            Authority.open(folder, "eicu")
    assert not folder.exists() or {path.name for path in folder.iterdir()} == {"key.pem", "certificate.pem"}
    assert Authority.open(folder, "eicu").pem == Authority.open(folder, "eicu").pem
    assert sorted(path.name for path in folder.parent.iterdir()) == [".eicu.lock", "eicu"]


def test_processes_that_come_at_once_get_one_authority(folder: Path, tmp_path: Path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", OPEN, str(folder), str(tmp_path / f"alone-{number}")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(4)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    answers = [process.communicate(timeout=60)[0].split() for process in processes]
    assert len({shared for shared, _ in answers}) == 1
    # Negative control: where each has a folder of its own, each makes an authority of its own.
    assert len({alone for _, alone in answers}) == 4


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_that_others_may_use_is_refused_until_it_is_closed(authority: Authority, folder: Path, mode: int) -> None:
    (folder / "key.pem").chmod(mode)
    with pytest.raises(UnusableAuthority, match=rf"its mode is {mode:04o}; 0600 is allowed.\n  chmod 600 .*key.pem"):
        Authority.open(folder, "eicu")
    (folder / "key.pem").chmod(0o600)
    assert Authority.open(folder, "eicu").pem == authority.pem


@pytest.mark.parametrize("name", ["key.pem", "certificate.pem"])
def test_a_missing_file_is_named_and_no_new_authority_takes_its_place(
    authority: Authority, folder: Path, name: str
) -> None:
    (folder / name).unlink()
    with pytest.raises(UnusableAuthority, match=rf"{name}: No such file"):
        Authority.open(folder, "eicu")
    assert not (folder / name).exists()


@pytest.mark.parametrize("name", ["key.pem", "certificate.pem"])
def test_a_damaged_file_is_refused(authority: Authority, folder: Path, name: str) -> None:
    (folder / name).write_bytes((folder / name).read_bytes()[:40])
    with pytest.raises(UnusableAuthority, match=r"is not a private key in PEM, or certificate.pem is not"):
        Authority.open(folder, "eicu")


def test_a_key_and_a_certificate_that_do_not_fit_are_refused(authority: Authority, folder: Path) -> None:
    other = folder.with_name("other")
    Authority.open(other, "eicu")
    shutil.copy(other / "certificate.pem", folder / "certificate.pem")
    with pytest.raises(UnusableAuthority, match=r"certificate.pem is not the certificate of key.pem"):
        Authority.open(folder, "eicu")
    shutil.copy(other / "key.pem", folder / "key.pem")
    assert Authority.open(folder, "eicu").pem == (other / "certificate.pem").read_bytes()


def test_another_kind_of_key_is_refused(authority: Authority, folder: Path) -> None:
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "key.pem").write_bytes(pem)
    with pytest.raises(UnusableAuthority, match="not an ECDSA key"):
        Authority.open(folder, "eicu")


def test_the_authority_of_another_federation_is_refused(authority: Authority, folder: Path) -> None:
    with pytest.raises(UnusableAuthority, match="is of 'eicu authority'; 'mimic authority' is due"):
        Authority.open(folder, "mimic")


def test_an_authority_is_refused_once_its_time_is_over_and_before_it_begins(folder: Path, authority: Authority) -> None:
    ends = x509.load_pem_x509_certificate(authority.pem).not_valid_after_utc
    second = timedelta(seconds=1)
    assert Authority.open(folder, "eicu", now=ends - second).pem == authority.pem
    for now in (ends, datetime.now(UTC) - timedelta(hours=1)):
        with pytest.raises(UnusableAuthority, match=f"to {ends:%Y-%m-%d %H:%M} UTC; now is {now:%Y-%m-%d %H:%M}"):
            Authority.open(folder, "eicu", now=now)


def test_a_folder_that_cannot_be_made_says_where(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UnusableAuthority, match=r"cannot be used: .*/file: File exists\.\n  Make"):
        Authority.open(tmp_path / "file" / "eicu", "eicu")
