"""A node unpacks the approved release, whole, or says why not."""

from __future__ import annotations

import hashlib
import io
import stat
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from zipfile import ZIP_BZIP2, ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

import pytest

from node_bootstrap.agent import release as release_module
from node_bootstrap.agent.release import ReleaseError, unpack

GOOD = {"app/__init__.py": b"", "app/main.py": b"RUNS = True\n"}

Put = Callable[[bytes], tuple[Path, str]]


def zipped(members: Mapping[str | ZipInfo, bytes], *, compression: int = ZIP_STORED) -> bytes:
    packed = io.BytesIO()
    with ZipFile(packed, "w", compression) as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    return packed.getvalue()


def wheel(files: Mapping[str | ZipInfo, bytes] = GOOD, *, name: str = "app", pure: str = "true") -> bytes:
    note = f"Wheel-Version: 1.0\nRoot-Is-Purelib: {pure}\nTag: py3-none-any\n".encode()
    return zipped({**files, f"{name}-1.dist-info/WHEEL": note}, compression=ZIP_DEFLATED)


def changed(release: bytes) -> bytes:
    """Change a bit of the first file in a zip."""
    return release[:60] + bytes([release[60] ^ 1]) + release[61:]


@pytest.fixture
def put(tmp_path: Path) -> Put:
    """Write a release; return the file and its digest."""

    def write(release: bytes) -> tuple[Path, str]:
        path = tmp_path / "release.zip"
        path.write_bytes(release)
        return path, hashlib.sha256(release).hexdigest()

    return write


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "releases"


def test_the_wheels_lie_side_by_side(put: Put, folder: Path) -> None:
    path, digest = put(zipped({"a.whl": wheel(), "b.whl": wheel({"plug_in.py": b"x"}, name="plug_in")}))
    code = unpack(path, digest, folder)
    assert code == folder / digest
    assert {str(file.relative_to(code)): file.read_bytes() for file in code.rglob("*") if file.is_file()}.keys() == {
        "app/__init__.py",
        "app/main.py",
        "app-1.dist-info/WHEEL",
        "plug_in.py",
        "plug_in-1.dist-info/WHEEL",
    }
    assert (code / "app" / "main.py").read_bytes() == b"RUNS = True\n"
    assert [entry.name for entry in folder.iterdir()] == [digest]


def test_a_release_that_was_not_approved_is_not_even_opened(
    put: Put, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, digest = put(zipped({"a.whl": wheel()}))
    _, approved = put(zipped({"a.whl": wheel({"app.py": b"other"})}))
    path.write_bytes(zipped({"a.whl": wheel()}))
    with monkeypatch.context() as patched:
        patched.setattr(release_module, "ZipFile", lambda *_: pytest.fail("it was opened"))
        with pytest.raises(ReleaseError, match=f"has the SHA-256 {digest}; the approved release has {approved}"):
            unpack(path, approved, folder)
    assert not folder.exists()
    unpack(path, digest, folder)


@pytest.mark.parametrize("digest", ["", "../evil", "A" * 64, "a" * 63, "a" * 64 + "\n"])
def test_what_is_no_digest_names_no_folder(put: Put, folder: Path, digest: str) -> None:
    path, _ = put(zipped({"a.whl": wheel()}))
    with pytest.raises(ReleaseError, match="is not a digest"):
        unpack(path, digest, folder)


def test_a_whole_release_is_used_again_with_what_python_cached_in_it(put: Put, folder: Path) -> None:
    path, digest = put(zipped({"a.whl": wheel()}))
    code = unpack(path, digest, folder)
    (code / "app" / "__pycache__").mkdir()
    (code / "app" / "__pycache__" / "main.cpython-311.pyc").write_bytes(b"cached")
    before = code.stat().st_ino
    assert unpack(path, digest, folder) == code
    assert code.stat().st_ino == before


@pytest.mark.parametrize("damage", ["half", "changed", "more", "linked", "no folder"])
def test_a_folder_that_holds_something_else_is_replaced(put: Put, folder: Path, tmp_path: Path, damage: str) -> None:
    path, digest = put(zipped({"a.whl": wheel()}))
    code = unpack(path, digest, folder)
    main = code / "app" / "main.py"
    if damage == "half":
        main.unlink()
    elif damage == "changed":
        main.write_bytes(b"RUNS = Evil\n")
    elif damage == "more":
        (code / "sitecustomize.py").write_bytes(b"evil")
    elif damage == "linked":
        main.rename(tmp_path / "main.py")
        main.symlink_to(tmp_path / "main.py")
    else:
        code.rename(tmp_path / "away")
        code.symlink_to(tmp_path / "away")
    unpack(path, digest, folder)
    assert main.read_bytes() == b"RUNS = True\n"
    assert not any(entry.is_symlink() for entry in (code, main))
    assert not (code / "sitecustomize.py").exists()


class Crash(BaseException):
    """The process is gone."""


def test_a_crash_leaves_nothing_that_passes_for_a_release(
    put: Put, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, digest = put(zipped({"a.whl": wheel()}))
    write = Path.write_bytes

    def crash(self: Path, content: bytes) -> int:
        if self.name == "main.py":
            write(self, content[:3])
            raise Crash
        return write(self, content)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", crash)
        with pytest.raises(Crash):
            unpack(path, digest, folder)
    assert not (folder / digest).exists()
    (folder / f".{digest}.new" / "older.py").write_bytes(b"of the process that is gone")
    code = unpack(path, digest, folder)
    assert (code / "app" / "main.py").read_bytes() == b"RUNS = True\n"
    assert not (code / "older.py").exists()
    assert [entry.name for entry in folder.iterdir()] == [digest]


def test_older_releases_are_removed_and_nothing_else_is(put: Put, folder: Path) -> None:
    path, old = put(zipped({"a.whl": wheel()}))
    unpack(path, old, folder)
    (folder / f".{'0' * 64}.new" / "app").mkdir(parents=True)
    (folder / "notes").mkdir()
    (folder / f"{old}.zip").write_bytes(b"")
    path, new = put(zipped({"a.whl": wheel({"app.py": b"new"})}))
    unpack(path, new, folder)
    assert {entry.name for entry in folder.iterdir()} == {new, "notes", f"{old}.zip"}


def test_an_older_release_stays_when_the_new_one_is_refused(put: Put, folder: Path) -> None:
    path, old = put(zipped({"a.whl": wheel()}))
    code = unpack(path, old, folder)
    path, new = put(zipped({"a.whl": wheel(pure="false")}))
    with pytest.raises(ReleaseError):
        unpack(path, new, folder)
    assert (code / "app" / "main.py").exists()


@pytest.mark.parametrize(
    "name",
    [
        "../up.py",
        "app/../../up.py",
        "/tmp/up.py",
        "./up.py",
        "app//up.py",
        "C:up.py",
        "..\\up.py",
        "a\0b",
    ],
)
def test_a_path_that_leads_elsewhere_is_refused(put: Put, folder: Path, name: str) -> None:
    member = ZipInfo("x")
    member.filename = name
    path, digest = put(zipped({"a.whl": wheel({**GOOD, member: b"evil"})}))
    with pytest.raises(ReleaseError, match="is not a plain relative path"):
        unpack(path, digest, folder)
    assert not folder.exists()


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_links_and_devices_are_refused_and_files_are_not(put: Put, folder: Path, kind: int) -> None:
    def release(mode: int) -> bytes:
        member = ZipInfo("app/link.py")
        member.external_attr = (mode | 0o644) << 16
        return zipped({"a.whl": wheel({**GOOD, member: b"/etc/passwd"})})

    path, digest = put(release(kind))
    with pytest.raises(ReleaseError, match=r"app/link\.py, which is a link or a device"):
        unpack(path, digest, folder)
    path, digest = put(release(stat.S_IFREG))
    assert (unpack(path, digest, folder) / "app" / "link.py").read_bytes() == b"/etc/passwd"


@pytest.mark.parametrize("name", ["setup.py", "notes/a.whl", "a.whl.zip"])
def test_what_is_no_wheel_is_refused(put: Put, folder: Path, name: str) -> None:
    path, digest = put(zipped({"a.whl": wheel(), name: wheel({"b.py": b""}, name="b")}))
    with pytest.raises(ReleaseError, match="holds wheels and nothing else"):
        unpack(path, digest, folder)


@pytest.mark.parametrize(
    "content",
    [
        wheel(pure="false"),
        zipped(GOOD),
        zipped({**GOOD, "a-1.dist-info/WHEEL": b"Wheel-Version: 1.0\n"}),
    ],
    ids=["compiled", "without WHEEL", "without a word"],
)
def test_a_wheel_that_does_not_say_that_it_is_pure_is_refused(put: Put, folder: Path, content: bytes) -> None:
    path, digest = put(zipped({"a.whl": content}))
    with pytest.raises(ReleaseError, match=r"a\.whl is not a pure-Python wheel"):
        unpack(path, digest, folder)


def test_two_wheels_with_the_same_file_are_refused(put: Put, folder: Path) -> None:
    path, digest = put(zipped({"a.whl": wheel(), "b.whl": wheel({"app/main.py": b"RUNS = True\n"}, name="b")}))
    with pytest.raises(ReleaseError, match=r"b\.whl and a\.whl in .* both hold app/main\.py"):
        unpack(path, digest, folder)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_wheel_with_a_file_twice_is_refused(put: Put, folder: Path) -> None:
    path, digest = put(zipped({"a.whl": wheel({**GOOD, ZipInfo("app/main.py"): b"other"})}))
    with pytest.raises(ReleaseError, match=r"holds app/main\.py twice"):
        unpack(path, digest, folder)


def test_a_file_where_another_wheel_has_a_folder_is_refused(put: Put, folder: Path) -> None:
    path, digest = put(zipped({"a.whl": wheel(), "b.whl": wheel({"app": b""}, name="b")}))
    with pytest.raises(ReleaseError, match=r"holds app as a file and as the folder of app/"):
        unpack(path, digest, folder)


def test_a_release_without_a_wheel_is_refused(put: Put, folder: Path) -> None:
    path, digest = put(zipped({}))
    with pytest.raises(ReleaseError, match="holds no wheel"):
        unpack(path, digest, folder)


def test_a_release_that_would_fill_the_disk_is_refused(put: Put, folder: Path) -> None:
    zeros = wheel({"zeros.bin": bytes(2**20)})
    path, digest = put(zipped({"a.whl": zeros}))
    assert len(zeros) < 10_000  # a deflate bomb in the small
    with pytest.raises(ReleaseError, match="larger than 100000 bytes unpacked"):
        unpack(path, digest, folder, limit=100_000)
    assert not folder.exists()
    unpack(path, digest, folder, limit=2**21)


def test_the_limit_is_for_all_wheels_together(put: Put, folder: Path) -> None:
    release = {f"{name}.whl": wheel({f"{name}.bin": bytes(2**20)}, name=name) for name in "abc"}
    path, digest = put(zipped(release))
    with pytest.raises(ReleaseError, match=r"c\.whl in .* is larger than"):
        unpack(path, digest, folder, limit=5 * 2**19)
    unpack(path, digest, folder, limit=7 * 2**19)


def test_a_file_above_the_limit_is_not_read_to_its_end(put: Put, folder: Path) -> None:
    path, digest = put(zipped({"a.whl": wheel()}))
    with pytest.raises(ReleaseError, match="more than 100 bytes"):
        unpack(path, digest, folder, limit=100)


def test_a_member_that_is_larger_than_it_says_is_refused(put: Put, folder: Path) -> None:
    packed = wheel({"zeros.bin": bytes(2**20)})
    lying = packed.replace((2**20).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    assert lying != packed
    path, digest = put(zipped({"a.whl": lying}))
    with pytest.raises(ReleaseError, match=r"a\.whl in .* is damaged"):
        unpack(path, digest, folder)


def test_other_compressions_are_refused(put: Put, folder: Path) -> None:
    path, digest = put(zipped({"a.whl": wheel()}, compression=ZIP_BZIP2))
    with pytest.raises(ReleaseError, match=r"a\.whl encrypted or compressed otherwise than by deflate"):
        unpack(path, digest, folder)


@pytest.mark.parametrize(
    "release", [b"", b"nonsense", zipped({"a.whl": b"nonsense"}), changed(zipped({"a.whl": wheel()}))]
)
def test_a_damaged_release_is_refused(put: Put, folder: Path, release: bytes) -> None:
    path, digest = put(release)
    with pytest.raises(ReleaseError, match="is damaged"):
        unpack(path, digest, folder)


def test_files_that_cannot_be_read_or_written_are_named(put: Put, folder: Path, tmp_path: Path) -> None:
    path, digest = put(zipped({"a.whl": wheel()}))
    with pytest.raises(ReleaseError, match=r"absent\.zip: No such file"):
        unpack(tmp_path / "absent.zip", digest, folder)
    folder.write_text("")
    with pytest.raises(ReleaseError, match=r"cannot be unpacked into .*releases.*: Not a directory"):
        unpack(path, digest, folder)


def test_it_takes_the_standard_library_alone() -> None:
    modules = {getattr(value, "__module__", "builtins").partition(".")[0] for value in vars(release_module).values()}
    assert modules - {"node_bootstrap"} <= sys.stdlib_module_names
