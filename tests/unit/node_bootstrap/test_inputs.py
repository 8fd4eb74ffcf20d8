"""What a node runs with is whole and approved, or the reason is told; what it has already is not fetched again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_node import RUN_FILES, FakeAccount, digest_of, release_of

from node_bootstrap import contract
from node_bootstrap.agent.inputs import Inputs, InputsError, fetch
from node_bootstrap.contract import Manifest, release_key

Fetch = Callable[[], Inputs]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


@pytest.fixture
def fetched(account: FakeAccount, root: Path) -> Fetch:
    """Fetch what the account holds, as a client with the approved release."""

    def now() -> Inputs:
        return fetch(account, root, approved=account.told.get(contract.APPROVED_RELEASE), with_data=True)

    return now


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_site_gets_run_files_code_and_its_data(account: FakeAccount, fetched: Fetch) -> None:
    digest = account.give(release_of({"fl_app/__init__.py": b"x"}), data={"patient.csv.gz": b"1", "more/lab.csv": b"2"})
    inputs = fetched()
    assert inputs.release == digest
    assert files(inputs.config) == RUN_FILES
    assert files(inputs.code)["fl_app/__init__.py"] == b"x"
    assert files(inputs.data) == {"patient.csv.gz": b"1", "more/lab.csv": b"2"}
    assert inputs.data.stat().st_mode & 0o077 == 0


def test_the_aggregator_never_asks_for_data(account: FakeAccount, root: Path) -> None:
    digest = account.give(data={"patient.csv.gz": b"1"})
    inputs = fetch(account, root, approved=digest, with_data=False)
    assert files(inputs.data) == {}
    assert account.downloads == [release_key(digest)]


def test_what_is_there_already_is_not_fetched_again(account: FakeAccount, fetched: Fetch) -> None:
    account.give()
    before = fetched()
    account.downloads.clear()
    assert fetched() == before
    assert account.downloads == []


def test_a_newer_release_replaces_the_one_before(account: FakeAccount, fetched: Fetch, root: Path) -> None:
    old = account.give(release_of({"fl_app/__init__.py": b"1"}))
    fetched()
    new = account.give(release_of({"fl_app/__init__.py": b"2"}))
    assert files(fetched().code)["fl_app/__init__.py"] == b"2"
    assert sorted(path.name for path in (root / "releases").iterdir()) == sorted([new, f"{new}.zip"])
    assert old != new


def test_run_files_that_are_no_longer_named_are_gone(account: FakeAccount, fetched: Fetch) -> None:
    account.give(files={"fedml_config.yaml": b"1", "old.yaml": b"1"})
    fetched()
    account.give(files={"fedml_config.yaml": b"2"})
    assert files(fetched().config) == {"fedml_config.yaml": b"2"}


@pytest.mark.parametrize(
    ("break_it", "why"),
    [
        (lambda o: o.pop(contract.MANIFEST_KEY), r"run/manifest\.json is not in this node's bucket"),
        (lambda o: o.update({contract.MANIFEST_KEY: b"{"}), r"run/manifest\.json is not a JSON object"),
        (lambda o: o.update({contract.MANIFEST_KEY: b"\xff"}), "supply` writes it anew"),
        (lambda o: o.pop(next(key for key in o if key.startswith("releases/"))), "is not in this node's bucket"),
        (lambda o: o.pop("data/patient.csv.gz"), "there is no data under data/"),
    ],
)
def test_what_is_missing_or_changed_is_named_with_the_remedy(
    account: FakeAccount, fetched: Fetch, break_it: Callable[[dict[str, bytes]], object], why: str
) -> None:
    account.give()
    break_it(account.objects)
    with pytest.raises(InputsError, match=why) as error:
        fetched()
    assert "`federate supply`" in str(error.value)


@pytest.mark.parametrize("name", ["../evil", "a/b", "/etc/passwd", ".hidden", ".."])
def test_a_manifest_writes_nothing_outside_the_folder_of_run_files(
    account: FakeAccount, fetched: Fetch, root: Path, name: str
) -> None:
    account.give(files={name: b"x"})
    with pytest.raises(InputsError, match="which is no run file"):
        fetched()
    assert files(root / "config.new") == {}


def test_without_an_approval_nothing_is_run(account: FakeAccount, fetched: Fetch) -> None:
    digest = account.give(approve=False)
    with pytest.raises(InputsError, match=f"no release is approved in this account, {digest[:12]} is to run"):
        fetched()
    assert account.downloads == []


def test_another_release_than_the_approved_one_is_not_even_fetched(account: FakeAccount, fetched: Fetch) -> None:
    approved = account.give(release_of({"fl_app/__init__.py": b"reviewed"}))
    other = account.give(release_of({"fl_app/__init__.py": b"not reviewed"}), approve=False)
    with pytest.raises(InputsError) as error:
        fetched()
    assert f"the release {other[:12]} is to run, this account's admin approved {approved[:12]}" in str(error.value)
    assert account.downloads == []


def test_an_archive_that_was_tampered_with_is_refused_and_not_found_again(
    account: FakeAccount, fetched: Fetch, root: Path
) -> None:
    digest = account.give()
    good = account.objects[release_key(digest)]
    account.objects[release_key(digest)] = release_of({"fl_app/__init__.py": b"evil"})
    with pytest.raises(InputsError, match=f"the approved release has {digest}: it is not unpacked"):
        fetched()
    assert files(root / "releases") == {}
    account.objects[release_key(digest)] = good
    assert fetched().release == digest


def test_negative_control_the_same_archive_under_its_own_digest_is_taken(account: FakeAccount, fetched: Fetch) -> None:
    evil = release_of({"fl_app/__init__.py": b"evil"})
    account.give(evil)
    assert fetched().release == digest_of(evil)


def test_data_follow_the_bucket(account: FakeAccount, fetched: Fetch) -> None:
    account.give(data={"a.csv": b"1", "b.csv": b"1", "folder/c.csv": b"1"})
    fetched()
    account.downloads.clear()
    account.objects["data/a.csv"] = b"2"
    del account.objects["data/folder/c.csv"]
    account.objects["data/d.csv"] = b"1"
    assert files(fetched().data) == {"a.csv": b"2", "b.csv": b"1", "d.csv": b"1"}
    assert account.downloads == ["data/a.csv", "data/d.csv"]


def test_a_file_that_went_missing_on_the_node_is_fetched_again(account: FakeAccount, fetched: Fetch) -> None:
    account.give(data={"a.csv": b"1", "b.csv": b"1"})
    (fetched().data / "a.csv").unlink()
    assert files(fetched().data) == {"a.csv": b"1", "b.csv": b"1"}


def test_what_a_crash_left_in_the_data_folder_goes_away(account: FakeAccount, fetched: Fetch, root: Path) -> None:
    account.give(data={"a.csv": b"1"})
    (root / "data").mkdir(parents=True)
    (root / "data" / ".a.csv.part").write_bytes(b"half")
    assert files(fetched().data) == {"a.csv": b"1"}


def test_the_marks_that_a_console_makes_of_folders_are_no_data(account: FakeAccount, fetched: Fetch) -> None:
    account.give(data={"": b"", "folder/": b"", "folder/a.csv": b"1"})
    assert files(fetched().data) == {"folder/a.csv": b"1"}


@pytest.mark.parametrize("name", ["../evil", "folder/../../evil", "/etc/evil"])
def test_an_object_never_becomes_a_file_outside_the_data_folder(
    account: FakeAccount, fetched: Fetch, root: Path, name: str
) -> None:
    account.give(data={"a.csv": b"1", name: b"evil"})
    with pytest.raises(InputsError, match="would be written outside the data folder"):
        fetched()
    assert files(root / "data") == {}


def test_after_a_crash_nothing_counts_that_may_be_another_version(
    account: FakeAccount, fetched: Fetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    account.give(data={"a.csv": b"1", "b.csv": b"1"})
    fetched()
    account.objects |= {"data/a.csv": b"2", "data/b.csv": b"2"}
    download = account.download

    def killed(key: str, path: Path) -> bool:
        if key.endswith("b.csv"):
            raise KeyboardInterrupt
        return download(key, path)

    with monkeypatch.context() as patched:
        patched.setattr(account, "download", killed)
        with pytest.raises(KeyboardInterrupt):
            fetched()
    account.objects |= {"data/a.csv": b"1", "data/b.csv": b"1"}  # and then the first version was right after all
    assert files(fetched().data) == {"a.csv": b"1", "b.csv": b"1"}


def test_a_damaged_index_costs_a_second_transfer_and_nothing_else(
    account: FakeAccount, fetched: Fetch, root: Path
) -> None:
    account.give()
    fetched()
    (root / "data-index.json").write_text("[")
    assert files(fetched().data) == {"patient.csv.gz": b"a row"}


def test_what_takes_long_is_told(account: FakeAccount, root: Path) -> None:
    digest = account.give(data={"a.csv": b"1" * 2_000_000})
    said: list[str] = []
    fetch(account, root, approved=digest, with_data=True, say=said.append)
    assert said == [f"fetches the release {digest[:12]}", "fetches 1 files of data, 2 MB"]


def test_a_manifest_that_names_a_path_as_release_leads_nowhere(account: FakeAccount, root: Path) -> None:
    account.objects[contract.MANIFEST_KEY] = Manifest("../../evil", {}).text().encode()
    account.objects[release_key("../../evil")] = b"evil"
    with pytest.raises(InputsError, match="which is no release's digest"):
        fetch(account, root, approved="../../evil", with_data=False)
    assert account.downloads == []
    assert json.loads(account.objects[contract.MANIFEST_KEY])["release"] == "../../evil"
