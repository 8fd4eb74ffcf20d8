"""What the image's script puts into a root for the kernel is what its validation asks for."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from infra.local.twin.machines.components import Component, StepFailed
from node_bootstrap.image import documents

IMAGE = Path(documents.__file__).parent
PLACE = "/etc/sysctl.d/60-federate.conf"


class FolderAsRoot:
    """Runs scripts with ``/etc/sysctl.d`` and the programs below a folder; the users are this machine's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        programs = [folder / "opt/federate/bin" / f"federate-{name}" for name in ("bootstrap", "state", "failed")]
        for program in (*programs, folder / "opt/federate/venv/bin/python"):
            program.parent.mkdir(parents=True, exist_ok=True)
            program.write_text("#!/bin/sh\n")
            program.chmod(0o755)

    def run(self, script: str, *, timeout_seconds: float = 30.0) -> subprocess.CompletedProcess[str]:
        for place in ("/etc/sysctl.d", "/opt/federate"):
            script = script.replace(place, f"{self.folder}{place}")
        words = ["bash", "-c", script.replace("id federate ", "id -u ")]
        return subprocess.run(
            words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=timeout_seconds
        )

    def put(self, content: bytes, path: str) -> None:
        raise NotImplementedError


@pytest.fixture
def root(tmp_path: Path) -> FolderAsRoot:
    """A root in which the line of the script was executed that is about the kernel."""
    made = FolderAsRoot(tmp_path)
    (line,) = [one for one in (IMAGE / "install.sh").read_text("utf-8").splitlines() if "sysctl" in one]
    assert made.run(f"here={IMAGE}\n{line}").returncode == 0
    return made


def validate(root: FolderAsRoot) -> None:
    whole = Component.read(documents.document("validate"))
    files = [step for step in whole.phases["validate"] if step.name == "Files"]
    replace(whole, phases={"validate": tuple(files)}).run("validate", root, values={"SourceDigest": "0"}, objects={})


def test_the_root_gets_the_file_by_which_tcp_does_not_begin_slowly_after_a_pause(root: FolderAsRoot) -> None:
    written = Path(f"{root.folder}{PLACE}")
    said = [line for line in written.read_text("utf-8").splitlines() if not line.startswith("#")]
    assert said == ["net.ipv4.tcp_slow_start_after_idle = 0"]
    assert written.stat().st_mode & 0o777 == 0o644
    validate(root)


@pytest.mark.parametrize("harm", ["rm", "sed -i s/=.0/=1/"])
def test_negative_control_an_image_without_it_does_not_pass_its_validation(root: FolderAsRoot, harm: str) -> None:
    assert root.run(f"{harm} {PLACE}").returncode == 0
    with pytest.raises(StepFailed, match=r"60-federate\.conf is missing, or does not say"):
        validate(root)
