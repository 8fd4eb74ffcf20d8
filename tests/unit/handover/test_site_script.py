"""The site's own script: it stands alone, believes no file that was changed, and asks before it acts."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from infra.handover import site as script
from infra.handover.kit import Kit

PEM = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
DIGEST = "a" * 64
GOOD = {
    "format": "federate-certificate/1",
    "federation": "herz",
    "site": "klinik-nord",
    "serial": "5c2f",
    "certificate": PEM,
    "authority": PEM + PEM,
}


class FakeSite:
    """A site's account in memory: what was put, and what the node says after that."""

    def __init__(self, *states: dict[str, Any], **told: str) -> None:
        self.kit = {"federation": "herz", "site": "klinik-nord", "release": {"sha256": DIGEST}}
        self.seconds = 0.0
        self.told = told
        self._states = list(states)

    def check_account(self) -> None: ...

    def parameters(self) -> dict[str, str]:
        return self.told

    def put(self, name: str, value: str) -> None:
        self.told[name] = value

    def state(self) -> dict[str, Any]:
        return self._states.pop(0) if len(self._states) > 1 else self._states[0]


@pytest.fixture
def folder(kit: Kit, tmp_path: Path) -> Path:
    return kit.write(tmp_path / "kit")


def test_it_needs_nothing_but_python_3_9_and_boto3() -> None:
    tree = ast.parse(Path(script.__file__).read_text("utf-8"), feature_version=(3, 9))
    imported = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported - sys.stdlib_module_names == {"boto3", "botocore"}


def test_an_untouched_kit_is_verified_and_named_by_its_digest(folder: Path, kit: Kit) -> None:
    ran = subprocess.run(
        [sys.executable, "-I", str(folder / "site.py"), "verify"], capture_output=True, text=True, check=True
    )
    assert kit.digest in ran.stdout


@pytest.mark.parametrize("name", ["kit.json", "templates/SiteNode-klinik-nord.template.json", "SUMMARY.md", "site.py"])
def test_a_file_that_was_changed_is_noticed_and_named(folder: Path, name: str) -> None:
    with (folder / name).open("ab") as file:
        file.write(b" ")
    with pytest.raises(script.Stop, match=name) as caught:
        script.verify(folder)
    assert caught.value.code == 2


def test_a_file_that_is_missing_is_noticed(folder: Path) -> None:
    (folder / "run" / "manifest.json").unlink()
    with pytest.raises(script.Stop, match=r"run/manifest\.json: missing"):
        script.verify(folder)


def test_a_release_is_approved_by_its_whole_digest_only() -> None:
    script.ask_approval(DIGEST, DIGEST)
    for wrong in ("b" * 64, DIGEST[:12], ""):
        with pytest.raises(script.Stop, match="Nothing was changed"):
            script.ask_approval(DIGEST, wrong)


def test_nobody_at_the_terminal_approves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: False))
    with pytest.raises(script.Stop, match=f"--approve {DIGEST}") as caught:
        script.ask_approval(DIGEST, None)
    assert caught.value.code == 3


def test_credentials_of_another_account_are_refused(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    caller = {"Account": "828282828282", "Arn": "arn:aws:iam::828282828282:user/somebody"}
    sts = SimpleNamespace(get_caller_identity=lambda: caller)
    monkeypatch.setattr(script.boto3, "Session", lambda **_: SimpleNamespace(client=lambda _: sts))
    with pytest.raises(script.Stop, match=r"of account 828282828282(.|\n)*for account 717171717171") as caught:
        script.Site(folder, None, 0.0).check_account()
    assert caught.value.code == 3


def admit(answer: Any, folder: Path, site: FakeSite) -> None:
    (folder / "certificate.json").write_text(answer if isinstance(answer, str) else json.dumps(answer))
    script.admit(site, folder / "certificate.json")  # type: ignore[arg-type]


def test_the_authorities_are_put_before_the_certificate_and_the_node_is_waited_for(tmp_path: Path) -> None:
    site = FakeSite({"identity": {"serial": "5c2f", "problem": ""}})
    admit(GOOD, tmp_path, site)
    assert list(site.told) == ["authority", "certificate"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"site": "spital-sued"}, "'klinik-nord' is due"),
        ({"federation": "lunge"}, "'herz' is due"),
        ({"format": "federate-certificate/9"}, "'federate-certificate/1' is due"),
        ({"certificate": "hello"}, "certificate is not a certificate in PEM"),
        ({"authority": PEM + "; rm -rf /"}, "authority is not a certificate in PEM"),
    ],
)
def test_an_answer_to_somebody_else_or_of_something_else_is_refused(
    change: dict[str, str], said: str, tmp_path: Path
) -> None:
    site = FakeSite({})
    with pytest.raises(script.Stop, match=said):
        admit({**GOOD, **change}, tmp_path, site)
    assert site.told == {}


@pytest.mark.parametrize("text", ["", "[]", "{}", "null"])
def test_what_is_no_answer_says_so(text: str, tmp_path: Path) -> None:
    with pytest.raises(script.Stop, match="is not a coordinator's answer"):
        admit(text, tmp_path, FakeSite({}))


def test_a_node_that_does_not_take_its_certificate_says_why(tmp_path: Path) -> None:
    state = {"state": "booting", "reason": "waits for its certificate: it is of another key"}
    with pytest.raises(script.Stop, match="it is of another key") as caught:
        admit(GOOD, tmp_path, FakeSite(state))
    assert caught.value.code == 6


def test_a_node_is_started_with_the_kit_s_own_release_only() -> None:
    site = FakeSite({}, **{"approved-release": "b" * 64, "certificate": PEM})
    with pytest.raises(script.Stop, match="not the approved one"):
        script.start(site)  # type: ignore[arg-type]
    assert "desired" not in site.told


def test_a_node_without_a_certificate_is_not_started() -> None:
    with pytest.raises(script.Stop, match="no certificate yet"):
        script.start(FakeSite({}, **{"approved-release": DIGEST}))  # type: ignore[arg-type]


class Leaving:
    """A site whose stacks are gone already; its node speaks so many times more after what it told was deleted."""

    def __init__(self, farewells: int) -> None:
        self.kit: dict[str, Any] = {"site": "klinik-nord", "stacks": []}
        self.told, self.farewells = {"state": "{}", "csr": PEM}, farewells

    def check_account(self) -> None: ...

    def parameters(self) -> dict[str, str]:
        return dict(self.told)

    def forget(self, names: dict[str, str]) -> None:
        self.told = {} if self.farewells == 0 else {"state": "{}"}
        self.farewells -= 1


def test_what_a_node_says_while_it_is_terminated_is_deleted_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script, "_SILENCE_SECONDS", 0.0)
    site = Leaving(farewells=2)
    script.destroy(site, yes=True, empty=False)  # type: ignore[arg-type]
    assert site.told == {}


def test_what_goes_on_writing_after_the_stacks_are_gone_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script, "_SILENCE_SECONDS", 0.0)
    with pytest.raises(script.Stop, match="something goes on writing: state") as stopped:
        script.destroy(Leaving(farewells=1000), yes=True, empty=False)  # type: ignore[arg-type]
    assert stopped.value.code == 5
