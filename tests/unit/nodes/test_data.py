"""Each site's data is the folder that its block names, or its share of a release, dealt when something has changed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from infra.federation.model import DataLocation, Federation, Plugin
from infra.nodes import data as data_module
from infra.nodes.data import NoData, folders_at_hand, site_folders

SITES = ("hospital-a", "hospital-b")
Folders = Mapping[str, Path]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "federation").mkdir()
    return tmp_path / "federation" / "federation.yaml"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A folder that stands for a release of eICU."""
    made = tmp_path / "eicu"
    made.mkdir()
    (made / "patient.csv.gz").write_bytes(b"1")
    return made


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What was asked of the application; it makes the folders that it is asked for and nothing else."""
    asked: list[list[str]] = []

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        assert command[:3] == [sys.executable, "-m", "fl_app.eicu"]
        asked.append(command[3:])
        out = Path(command[command.index("--out") + 1])
        sites = command[command.index("--sites") + 1].split(",") if command[3] == "deal" else ["."]
        for site in sites:
            (out / site).mkdir(parents=True, exist_ok=True)
            (out / site / "patient.csv.gz").write_bytes(b"1")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    return asked


def naming(federation: Federation, **sources: str | None) -> Federation:
    """Return the federation with folders named for its sites."""
    sites = tuple(
        site.model_copy(update={"data": DataLocation(source=sources.get(site.id.replace("-", "_")))})
        for site in federation.participants
    )
    return federation.model_copy(update={"participants": sites})


def reseeded(federation: Federation, seed: int) -> Federation:
    return federation.model_copy(update={"training": federation.training.model_copy(update={"seed": seed})})


def test_a_named_folder_is_seen_from_the_federations_file(
    fed: Federation, file: Path, home: Path, commands: list[list[str]], tmp_path: Path
) -> None:
    for folder in (file.parent / "here", tmp_path / "there"):
        folder.mkdir()
        (folder / "a.csv").touch()
    named = naming(fed, hospital_a="here", hospital_b=str(tmp_path / "there"))
    assert site_folders(named, file, home=home) == {
        "hospital-a": file.parent / "here",
        "hospital-b": tmp_path / "there",
    }
    assert commands == []


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda path: None, "is not a folder"),
        (lambda path: path.touch(), "is not a folder"),
        (lambda path: path.mkdir(), "is empty"),
        (lambda path: (path / "below").mkdir(parents=True), "is empty"),
    ],
)
def test_a_named_folder_without_data_is_told_with_site_and_remedy(
    fed: Federation, file: Path, home: Path, make: Callable[[Path], object], what: str
) -> None:
    make(file.parent / "named")
    with pytest.raises(NoData) as error:
        site_folders(naming(fed, hospital_a="named"), file, home=home)
    assert f"{file}: the data of hospital-a, {file.parent / 'named'}, {what}." in str(error.value)
    assert "participants[].data.source" in str(error.value)
    assert error.value.exit_code == 2


def test_a_hospital_needs_no_other_hospitals_folder(fed: Federation, file: Path, home: Path) -> None:
    (file.parent / "mine").mkdir()
    (file.parent / "mine" / "a.csv").touch()
    named = naming(fed, hospital_a="mine", hospital_b="on another machine")
    assert site_folders(named, file, home=home, only=["hospital-a"]) == {"hospital-a": file.parent / "mine"}
    assert site_folders(named, file, home=home, only=["aggregator"]) == {}
    with pytest.raises(NoData, match="hospital-b"):
        site_folders(named, file, home=home)


def test_another_data_set_than_eicu_is_never_made_up(
    fed: Federation, file: Path, home: Path, commands: list[list[str]]
) -> None:
    digits = fed.training.model_copy(update={"dataset": Plugin(name="digits")})
    with pytest.raises(NoData, match=r"no data is named for hospital-a, hospital-b\.\n  Name each site's folder"):
        site_folders(fed.model_copy(update={"training": digits}), file, home=home)
    assert commands == []


def test_a_release_that_is_not_there_is_told_before_anything_is_made(
    fed: Federation, file: Path, home: Path, commands: list[list[str]], tmp_path: Path
) -> None:
    with pytest.raises(NoData, match=r"EICU_DIR is .*/nowhere, which does not exist"):
        site_folders(fed, file, home=home, eicu=tmp_path / "nowhere")
    assert commands == []


def test_a_release_is_dealt_once(
    fed: Federation, file: Path, home: Path, commands: list[list[str]], release: Path
) -> None:
    said: list[str] = []
    for _ in range(3):
        found = site_folders(fed, file, home=home, eicu=release, say=said.append)
    assert found == {site: home / "data" / "fed" / site for site in SITES}
    assert said == ["deals eICU to 2 sites by hospital"]
    (deal,) = commands
    assert deal == [
        *("deal", "--source", str(release), "--out", str(home / "data" / "fed")),
        *("--sites", "hospital-a,hospital-b", "--seed", "0"),
    ]


@pytest.mark.parametrize(
    "change",
    [
        lambda fed, release, found: (reseeded(fed, 7), release),
        lambda fed, release, found: (naming(fed, hospital_a=str(found["hospital-b"])), release),
        lambda fed, release, found: (fed, (release / "lab.csv.gz").write_bytes(b"new") and release),
        lambda fed, release, found: (fed, (release / "patient.csv.gz").write_bytes(b"longer") and release),
        lambda fed, release, found: (
            fed,
            (found["hospital-a"].rename(found["hospital-a"].with_name("gone"))) and release,
        ),
    ],
    ids=["another seed", "other sites", "another table", "a changed table", "a folder is gone"],
)
def test_it_is_dealt_again_when_something_has_changed(
    fed: Federation, file: Path, home: Path, commands: list[list[str]], release: Path, change: Any
) -> None:
    found = site_folders(fed, file, home=home, eicu=release)
    changed, source = change(fed, release, found)
    for _ in range(2):
        site_folders(changed, file, home=home, eicu=source)
    assert len(commands) == 2


def test_who_is_meant_does_not_change_who_gets_what(
    fed: Federation, file: Path, home: Path, commands: list[list[str]], release: Path
) -> None:
    only_b = site_folders(fed, file, home=home, eicu=release, only=["hospital-b"])
    assert only_b == {"hospital-b": home / "data" / "fed" / "hospital-b"}
    site_folders(fed, file, home=home, eicu=release)
    assert [command[0] for command in commands] == ["deal"]


def test_hospitals_that_the_file_assigns_are_dealt_so(
    fed: Federation, file: Path, home: Path, commands: list[list[str]], release: Path
) -> None:
    first, second = fed.participants
    assigned = first.model_copy(update={"data": DataLocation(hospitals=(73, 167))})
    site_folders(fed.model_copy(update={"participants": (assigned, second)}), file, home=home, eicu=release)
    assert commands[0][-2:] == ["--assign", "hospital-a=73,167"]


def test_without_a_release_a_synthetic_one_is_made_once(
    fed: Federation, file: Path, home: Path, commands: list[list[str]]
) -> None:
    said: list[str] = []
    for _ in range(2):
        site_folders(fed, file, home=home, say=said.append)
    assert [command[0] for command in commands] == ["synthesize", "deal"]
    assert said == ["makes a synthetic eICU of 2500 stays", "deals the synthetic eICU to 2 sites by hospital"]
    site_folders(reseeded(fed, 1), file, home=home)
    assert [command[0] for command in commands] == ["synthesize", "deal"] * 2


def test_after_an_interrupted_deal_another_is_made(
    fed: Federation, file: Path, home: Path, commands: list[list[str]], release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site_folders(fed, file, home=home, eicu=release)
    run = subprocess.run

    def interrupted(*arguments: Any, **options: Any) -> Any:
        run(*arguments, **options)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(subprocess, "run", interrupted)
        with pytest.raises(KeyboardInterrupt):
            site_folders(reseeded(fed, 1), file, home=home, eicu=release)
    # Nobody knows what the folders hold now, so that the settings of before do not stand for them either.
    site_folders(fed, file, home=home, eicu=release)
    assert len(commands) == 3


def test_what_the_application_says_of_a_broken_release_is_passed_on(
    fed: Federation, file: Path, home: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "patient.csv").write_text("patientunitstayid\n1\n")
    with pytest.raises(NoData) as error:
        site_folders(fed, file, home=home, eicu=broken)
    assert str(broken) in str(error.value)
    assert "nurseCharting" in str(error.value)
    assert "Traceback" not in str(error.value)
    assert not (home / "data" / "fed").exists()


@pytest.mark.parametrize(
    ("stderr", "told"),
    [
        ("patient.csv.gz: no column age.\n  Is it eICU?\n", "patient.csv.gz: no column age.\n  Is it eICU?"),
        ("Traceback (most recent call last):\n  File\nMemoryError\n", "MemoryError"),
        ("", "python -m fl_app.eicu deal ended with 9."),
    ],
)
def test_a_failed_deal_says_why(
    fed: Federation, file: Path, home: Path, release: Path, monkeypatch: pytest.MonkeyPatch, stderr: str, told: str
) -> None:
    done = subprocess.CompletedProcess([], 9, "", stderr)
    monkeypatch.setattr(data_module.subprocess, "run", lambda *_, **__: done)
    with pytest.raises(NoData) as error:
        site_folders(fed, file, home=home, eicu=release)
    assert str(error.value) == told


def test_folders_are_at_hand_only_if_all_are_on_this_machine(
    fed: Federation, file: Path, home: Path, commands: list[list[str]], release: Path
) -> None:
    assert folders_at_hand(fed, file, home=home) is None
    found = site_folders(fed, file, home=home, eicu=release)
    assert folders_at_hand(fed, file, home=home) == found
    assert folders_at_hand(naming(fed, hospital_b="elsewhere"), file, home=home) is None


def test_a_site_with_data_in_a_bucket_of_its_own_is_dealt_none_and_the_others_share_all(
    fed: Federation, file: Path, home: Path, release: Path, commands: list[list[str]]
) -> None:
    a, *others = fed.participants
    own = a.model_copy(update={"bucket": "hospital-a-research"})
    federation = fed.model_copy(update={"participants": (own, *others)})
    assert set(site_folders(federation, file, home=home, eicu=release)) == {"hospital-b"}
    (deal,) = commands
    assert deal[deal.index("--sites") + 1] == "hospital-b"
    assert site_folders(federation, file, home=home, only=["hospital-a"]) == {}
    assert folders_at_hand(federation, file, home=home) is None


def test_whose_block_says_what_is_brought_has_it_brought_into_its_own_bucket_as_well(
    fed: Federation, file: Path, home: Path, release: Path, commands: list[list[str]]
) -> None:
    a, *others = fed.participants
    own = a.model_copy(update={"bucket": "hospital-a-research", "data": DataLocation(hospitals=(73,))})
    federation = fed.model_copy(update={"participants": (own, *others)})
    assert set(site_folders(federation, file, home=home, eicu=release)) == set(SITES)
    assert "--assign" in commands[0]
