"""A release holds what a node runs and nothing else, and its bytes depend on its sources alone."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from email import message_from_bytes
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
import yaml

from infra.federation.model import Federation
from infra.nodes import release
from infra.nodes.release import NotReleased, build
from node_bootstrap.agent.release import unpack

CHECKOUT = Path(__file__).parents[3]
APPLICATION = "federate-9.0.dist-info"

Install = Callable[..., Path]


@pytest.fixture
def federation() -> Callable[..., Federation]:
    """Return the example federation with other plug-ins."""

    def make(**training: str) -> Federation:
        data: dict[str, Any] = yaml.safe_load((CHECKOUT / "federation.yaml").read_text("utf-8"))
        data["training"] |= training
        return Federation.model_validate(data)

    return make


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install a distribution as pip does, into a site folder that is looked at first."""

    def make(
        name: str,
        files: dict[str, str],
        *,
        version: str = "1.0",
        entry_points: str = "",
        pure: str = "true",
        tag: str = "py3-none-any",
        direct_url: str | None = None,
        site: Path = tmp_path / "site",
    ) -> Path:
        info = f"{name.replace('-', '_')}-{version}.dist-info"
        notes = {
            "METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
            "WHEEL": f"Wheel-Version: 1.0\nGenerator: a tool 4.2\nRoot-Is-Purelib: {pure}\nTag: {tag}\n",
            "entry_points.txt": entry_points,
            "INSTALLER": "pip\n",
            "REQUESTED": "",
        }
        notes |= {"direct_url.json": direct_url} if direct_url else {}
        everything = files | {f"{info}/{note}": text for note, text in notes.items()}
        everything |= {f"{info}/RECORD": "".join(f"{path},,\n" for path in [*everything, f"{info}/RECORD"])}
        for path, text in everything.items():
            (site / path).parent.mkdir(parents=True, exist_ok=True)
            (site / path).write_text(text, "utf-8")
        monkeypatch.syspath_prepend(site)
        return site

    return make


@pytest.fixture
def application(install: Install) -> Path:
    """Install a small application in the place of Federate; return the site folder."""
    files = {
        "fl_app/__init__.py": "",
        "fl_app/eicu.py": "VOCABULARY = 1\n",
        "fl_app/vocabulary.json": "{}\n",
        "fl_app/__pycache__/eicu.cpython-311.pyc": "cached",
        "infra/cli.py": "ACCOUNTS = []\n",
        "stacks/node.py": "",
        "../bin/federate": "#!/usr/bin/python\n",
    }
    points = (
        "[federate.datasets]\neicu = fl_app.eicu:load\n\n[federate.models]\nlogistic_regression = fl_app.eicu:model\n\n"
        "[federate.aggregations]\nfedavg = fl_app.eicu:FedAvg\n"
    )
    return install("federate", files, version="9.0", entry_points=points)


@pytest.fixture
def numerals(application: Path, install: Install) -> Path:
    """Install a plug-in with a data set beside the application; return the site folder."""
    files = {
        "numerals/__init__.py": "",
        "numerals/data.py": "def load(spec): ...\n",
        "../bin/numerals": "#!/usr/bin/python\n",
    }
    return install("federate-numerals", files, entry_points="[federate.datasets]\nnumerals = numerals.data:load\n")


def wheels(path: Path) -> dict[str, dict[str, bytes]]:
    """Return the files of each wheel of a release."""
    with ZipFile(path) as packed:
        return {name: contents(packed.read(name)) for name in packed.namelist()}


def contents(packed: bytes) -> dict[str, bytes]:
    with ZipFile(BytesIO(packed)) as wheel:
        return {name: wheel.read(name) for name in wheel.namelist()}


def test_only_the_application_travels_and_nothing_of_the_operator_s_side(
    application: Path, federation: Callable[..., Federation], tmp_path: Path
) -> None:
    made = build(federation(), tmp_path / "releases")
    assert made.wheels == ("federate-9.0-py3-none-any.whl",)
    assert made.path == tmp_path / "releases" / f"{made.digest}.zip"
    assert made.digest == hashlib.sha256(made.path.read_bytes()).hexdigest()
    assert sorted(wheels(made.path)["federate-9.0-py3-none-any.whl"]) == [
        f"{APPLICATION}/METADATA",
        f"{APPLICATION}/RECORD",
        f"{APPLICATION}/WHEEL",
        f"{APPLICATION}/entry_points.txt",
        "fl_app/__init__.py",
        "fl_app/eicu.py",
        "fl_app/vocabulary.json",
    ]
    assert (application / "infra" / "cli.py").exists()  # it was there to be taken


def test_a_wheel_records_what_is_in_it(
    application: Path, federation: Callable[..., Federation], tmp_path: Path
) -> None:
    (files,) = wheels(build(federation(), tmp_path).path).values()
    rows = {name: (digest, size) for name, digest, size in csv.reader(files[f"{APPLICATION}/RECORD"].decode().split())}
    assert rows.keys() == files.keys()
    assert rows.pop(f"{APPLICATION}/RECORD") == ("", "")
    for name, (digest, size) in rows.items():
        due = base64.urlsafe_b64encode(hashlib.sha256(files[name]).digest()).decode().rstrip("=")
        assert (digest, size) == (f"sha256={due}", str(len(files[name])))
    assert message_from_bytes(files[f"{APPLICATION}/WHEEL"])["Root-Is-Purelib"] == "true"


def test_a_plug_in_travels_if_the_federation_names_it_and_only_then(
    numerals: Path, federation: Callable[..., Federation], tmp_path: Path
) -> None:
    with_plug_in = build(federation(dataset="numerals"), tmp_path)
    without = build(federation(), tmp_path)
    assert with_plug_in.wheels == ("federate-9.0-py3-none-any.whl", "federate_numerals-1.0-py3-none-any.whl")
    assert without.wheels == ("federate-9.0-py3-none-any.whl",)
    assert {"numerals/__init__.py", "numerals/data.py", "federate_numerals-1.0.dist-info/entry_points.txt"} <= wheels(
        with_plug_in.path
    )["federate_numerals-1.0-py3-none-any.whl"].keys()


def test_the_same_sources_give_the_same_bytes_wherever_and_whenever(
    numerals: Path, federation: Callable[..., Federation], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = build(federation(dataset="numerals"), tmp_path / "first")
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(numerals, elsewhere, copy_function=shutil.copyfile)
    for record in elsewhere.glob("*.dist-info/RECORD"):  # another tool installed it, in another order
        record.write_text("".join(reversed(record.read_text().splitlines(keepends=True))))
        record.with_name("WHEEL").write_text("Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    for path in elsewhere.rglob("*"):
        os.utime(path, (1_000_000_000, 1_000_000_000))
        path.chmod(0o700)
    monkeypatch.syspath_prepend(elsewhere)
    second = build(federation(dataset="numerals"), tmp_path / "second")
    assert second.path.read_bytes() == first.path.read_bytes()
    (elsewhere / "numerals" / "data.py").write_text("def load(spec): return 1\n")
    assert build(federation(dataset="numerals"), tmp_path / "third").digest != first.digest


def test_what_unpacks_is_what_was_installed(
    numerals: Path, federation: Callable[..., Federation], tmp_path: Path
) -> None:
    made = build(federation(dataset="numerals"), tmp_path)
    code = unpack(made.path, made.digest, tmp_path / "node")
    assert (code / "numerals" / "data.py").read_bytes() == (numerals / "numerals" / "data.py").read_bytes()
    script = (
        "import numerals.data, importlib.metadata as m; print(numerals.data.__file__);"
        "print([point.value for point in m.entry_points(group='federate.datasets', name='numerals')])"
    )
    assert run(script, code, "-S").split("\n") == [f"{code}/numerals/data.py", "['numerals.data:load']"]


def project(folder: Path, **more: str) -> str:
    """Write a plug-in's source folder, as a data scientist has it; return what pip notes of its installation."""
    files = {
        "pyproject.toml": '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
        '[project]\nname = "plug-in"\nversion = "2.0"\n[tool.setuptools]\npy-modules = ["plug_in"]\n'
        '[project.entry-points."federate.datasets"]\nplugged = "plug_in:load"\n',
        "plug_in.py": "def load(spec): ...\n",
        ".git/config": "",
        "build/lib/plug_in.py": "from an older build\n",
        "plug_in.egg-info/PKG-INFO": "Name: plug-in\n",
        "venv/pyvenv.cfg": "",
    }
    for name, text in (files | more).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")
    return json.dumps({"url": folder.as_uri(), "dir_info": {"editable": True}})


@pytest.fixture
def plug_in(application: Path, install: Install, tmp_path: Path) -> Path:
    """Install a plug-in from its source folder, editable; return that folder, whose name needs quoting in a URL."""
    folder = tmp_path / "my project"
    finder = {"__editable__.plug_in.pth": "import something\n"}
    points = "[federate.datasets]\nplugged = plug_in:load\n"
    install("plug-in", finder, version="2.0", entry_points=points, direct_url=project(folder))
    return folder


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_an_editable_plug_in_is_built_from_its_sources_which_stay_as_they_are(
    plug_in: Path, federation: Callable[..., Federation], tmp_path: Path
) -> None:
    before = snapshot(plug_in)
    made = build(federation(dataset="plugged"), tmp_path / "1")
    files = wheels(made.path)["plug_in-2.0-py3-none-any.whl"]
    assert snapshot(plug_in) == before
    assert files["plug_in.py"] == b"def load(spec): ...\n"
    assert b"plugged = plug_in:load" in files["plug_in-2.0.dist-info/entry_points.txt"]
    assert "__editable__.plug_in.pth" not in files
    again = build(federation(dataset="plugged"), tmp_path / "2")
    assert again.path.read_bytes() == made.path.read_bytes()


def test_unchanged_sources_build_nothing_and_changed_ones_do(
    plug_in: Path, federation: Callable[..., Federation], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = build(federation(dataset="plugged"), tmp_path)

    def built(*_: object, **__: object) -> None:
        raise OSError(1, "it builds")

    monkeypatch.setattr(release.subprocess, "run", built)
    (plug_in / "plug_in.py").touch()
    (plug_in / "venv" / "installed.py").write_text("")
    assert build(federation(dataset="plugged"), tmp_path) == made
    (plug_in / "plug_in.py").write_text("def load(spec): return 2\n")
    with pytest.raises(NotReleased, match="it builds"):
        build(federation(dataset="plugged"), tmp_path)


@pytest.mark.parametrize("damage", ["the release", "the index", "no release"])
def test_a_damaged_cache_is_made_anew(
    application: Path, federation: Callable[..., Federation], tmp_path: Path, damage: str
) -> None:
    made = build(federation(), tmp_path)
    content = made.path.read_bytes()
    if damage == "no release":
        made.path.unlink()
    else:
        (made.path if damage == "the release" else tmp_path / "index.json").write_bytes(b"3")
    assert build(federation(), tmp_path) == made
    assert made.path.read_bytes() == content
    assert sorted(path.name for path in tmp_path.glob("*.*")) == sorted([made.path.name, "index.json"])


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"pure": "false"}, r"Root-Is-Purelib: false"),
        ({"tag": "cp311-cp311-linux_x86_64"}, r"cp311-cp311-linux_x86_64"),
        ({"files": {"fast.py": "", "fast/_core.cpython-311-x86_64-linux-gnu.so": ""}}, r"fast/_core.*\.so"),
    ],
)
def test_compiled_code_is_refused_and_belongs_on_the_machine_image(
    application: Path,
    install: Install,
    federation: Callable[..., Federation],
    tmp_path: Path,
    more: dict[str, Any],
    said: str,
) -> None:
    points = "[federate.models]\nfast = fast:make\n"
    install("fast", more.pop("files", {"fast.py": ""}), entry_points=points, **more)
    with pytest.raises(NotReleased, match=rf"fast holds compiled code \({said}\).*\n  .*machine image"):
        build(federation(model="fast"), tmp_path)
    install("fast", {"fast.py": ""}, entry_points=points, site=tmp_path / "pure")
    build(federation(model="fast"), tmp_path)


def test_a_name_that_nobody_gives_is_refused(
    application: Path, federation: Callable[..., Federation], tmp_path: Path
) -> None:
    with pytest.raises(NotReleased, match=r"give nothing_here to federate.aggregations: none; one is due"):
        build(federation(aggregation="nothing_here"), tmp_path)


def test_a_name_that_two_packages_give_is_refused(
    numerals: Path, install: Install, federation: Callable[..., Federation], tmp_path: Path
) -> None:
    build(federation(dataset="numerals"), tmp_path)
    install("more-numerals", {"more.py": ""}, entry_points="[federate.datasets]\nnumerals = more:load\n")
    with pytest.raises(NotReleased, match=r"federate-numerals, more-numerals; one is due.\n  Uninstall all but one"):
        build(federation(dataset="numerals"), tmp_path)


def test_a_plug_in_without_its_module_is_refused(
    application: Path, install: Install, federation: Callable[..., Federation], tmp_path: Path
) -> None:
    install("hollow", {"other.py": ""}, entry_points="[federate.models]\nhollow = hollow.net:make\n")
    with pytest.raises(NotReleased, match=r"The wheel of hollow lacks the module hollow\.net"):
        build(federation(model="hollow"), tmp_path)


def test_two_distributions_with_the_same_file_are_refused(
    numerals: Path, install: Install, federation: Callable[..., Federation], tmp_path: Path
) -> None:
    points = "[federate.models]\nnet = net:make\n"
    install("net", {"net.py": "", "numerals/__init__.py": ""}, entry_points=points)
    with pytest.raises(NotReleased, match=r"net and federate-numerals both hold numerals/__init__\.py"):
        build(federation(dataset="numerals", model="net"), tmp_path)
    build(federation(model="net"), tmp_path)


def test_a_source_folder_full_of_data_is_refused(
    plug_in: Path, federation: Callable[..., Federation], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (plug_in / "data.bin").write_bytes(bytes(3 * 2**20))
    build(federation(dataset="plugged"), tmp_path)
    monkeypatch.setattr(release, "_LARGEST_MIB", 2)
    with pytest.raises(NotReleased, match="plug-in has 3 MiB of files; 2 MiB are allowed"):
        build(federation(dataset="plugged"), tmp_path)


def test_sources_that_are_gone_are_named(plug_in: Path, federation: Callable[..., Federation], tmp_path: Path) -> None:
    plug_in.rename(tmp_path / "moved")
    with pytest.raises(NotReleased, match=r"plug-in is installed from .*/my project, which is not there"):
        build(federation(dataset="plugged"), tmp_path)


def test_a_distribution_that_does_not_know_its_files_is_refused(
    numerals: Path, federation: Callable[..., Federation], tmp_path: Path
) -> None:
    (numerals / "federate_numerals-1.0.dist-info" / "RECORD").unlink()
    with pytest.raises(NotReleased, match="federate-numerals has no RECORD"):
        build(federation(dataset="numerals"), tmp_path)


def test_what_the_build_says_is_passed_on(plug_in: Path, federation: Callable[..., Federation], tmp_path: Path) -> None:
    (plug_in / "pyproject.toml").write_text("[project]\nname = 'plug-in'\nversion = 'two'\n")
    with pytest.raises(NotReleased, match=r"No wheel can be built of plug-in:\n(.*\n)*.*version.*"):
        build(federation(dataset="plugged"), tmp_path)


def test_without_the_package_build_the_user_is_told_to_install_it(
    plug_in: Path, federation: Callable[..., Federation], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')  # without what is installed
    bare.chmod(0o755)
    with monkeypatch.context() as patched:
        patched.setattr(sys, "executable", str(bare))
        with pytest.raises(NotReleased, match=rf"takes the package build.\n  {bare} -m pip install build"):
            build(federation(dataset="plugged"), tmp_path)
    build(federation(dataset="plugged"), tmp_path)


def test_a_folder_that_cannot_be_written_is_named(
    application: Path, federation: Callable[..., Federation], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NotReleased, match=r"cannot be made: .*/file.*: Not a directory"):
        build(federation(), tmp_path / "file" / "releases")


def run(script: str, code: Path, *options: str) -> str:
    """Run a script by Python as a node does, with the release first on its path; return what it says."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(code), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-P", *options, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_the_example_s_release_runs_on_a_node_instead_of_what_is_installed_there(
    federation: Callable[..., Federation], tmp_path: Path
) -> None:
    litter = ("build", "federate.egg-info", "pyproject.toml", "fl_app/__init__.py")
    before = {name: (CHECKOUT / name).exists() and (CHECKOUT / name).stat().st_mtime_ns for name in litter}
    made = build(federation(), tmp_path)
    assert {name: (CHECKOUT / name).exists() and (CHECKOUT / name).stat().st_mtime_ns for name in litter} == before
    number = version("federate")
    assert made.wheels == (f"federate-{number}-py3-none-any.whl",)

    code = unpack(made.path, made.digest, tmp_path / "node")
    script = (
        "import fl_app.plugins, importlib.metadata as m; print(fl_app.plugins.__file__);"
        "print([point.value for point in m.entry_points(group='federate.datasets', name='eicu')]);"
        "print(m.distribution('federate')._path)"
    )
    for options in ((), ("-S",)):  # with what is installed here behind it, and with the release alone
        assert run(script, code, *options).split("\n") == [
            f"{code}/fl_app/plugins.py",
            "['fl_app.eicu.dataset:load_partition_data_eicu']",
            f"{code}/federate-{number}.dist-info",
        ]
    ours = ("fl_app", "infra", "stacks", "node_bootstrap")
    there = f"import importlib.util as u; print([name for name in {ours} if u.find_spec(name)])"
    assert run(there, code, "-S") == "['fl_app']"
    # Negative control: without the release the same interpreter finds what is installed, or nothing.
    assert str(code) not in run("import fl_app.plugins; print(fl_app.plugins.__file__)", tmp_path)
    assert run(there, tmp_path, "-S") == "[]"


def test_the_operator_s_side_makes_a_release_without_loading_the_application(tmp_path: Path) -> None:
    script = (
        "import sys, pathlib; from infra.federation.load import load_federation; from infra.nodes.release import build;"
        f"build(load_federation(pathlib.Path({str(CHECKOUT / 'federation.yaml')!r})), pathlib.Path({str(tmp_path)!r}));"
        "print(sorted({'torch', 'numpy', 'fl_app'} & set(sys.modules)))"
    )
    assert run(script, CHECKOUT) == "[]"
