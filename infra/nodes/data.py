"""Each site's own data on the operator's side: folders that are named, or a release of eICU dealt by hospital."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Collection
from pathlib import Path

from infra.errors import FederateError
from infra.federation.model import Federation, Participant

EICU_VARIABLE = "EICU_DIR"
EICU = "eicu"
#: About the open demo's size; enough to train on, made in seconds.
SYNTHETIC_STAYS = 2500
_STAMP = "made-from.json"


class NoData(FederateError):
    """A site's data is missing, or cannot be used."""

    exit_code = 2


def site_folders(
    federation: Federation,
    file: Path,
    *,
    home: Path,
    only: Collection[str] | None = None,
    eicu: Path | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Path]:
    """Return each site's folder; eICU is dealt to the sites that name none, or made up if there is no release.

    A site that has its data in a bucket of its own has no folder: what lies there is not ours to replace.

    Args:
        federation: whose sites.
        file: the federation's file; relative sources are seen from its folder.
        home: folder of the toolkit's local state; what is dealt lies below it.
        only: ids of the sites that are meant, all if left out: a hospital has no other hospital's folder.
        eicu: folder with a release's tables; None makes a synthetic one.
        say: told of what takes long.

    Raises:
        NoData: a site has none, or the release cannot be used.
    """
    meant = [site for site in federation.participants if only is None or site.id in only]
    named = {site.id: _named(site, file) for site in meant if site.data.source is not None}
    rest = [site for site in meant if site.id not in named and not has_its_own(site)]
    if not rest:
        return named
    if federation.training.dataset.name != EICU:
        raise NoData(
            f"{file}: no data is named for {', '.join(site.id for site in rest)}.",
            remedy="Name each site's folder: participants[].data.source.",
        )
    # All that name no folder are dealt to at once, whoever is meant: or a hospital would go to two sites.
    sharing = [site for site in federation.participants if site.data.source is None and not has_its_own(site)]
    dealt = _dealt(federation, sharing, home=home, eicu=eicu, say=say)
    return named | {site.id: dealt[site.id] for site in rest}


def has_its_own(site: Participant) -> bool:
    """Say whether a site's data is what its existing bucket holds: nothing in its block says that any is brought."""
    return site.bucket is not None and site.data.source is None and not site.data.hospitals


def folders_at_hand(federation: Federation, file: Path, *, home: Path) -> dict[str, Path] | None:
    """Return each site's folder as far as it is known without making anything; None unless all are on this machine."""
    dealt = home / "data" / federation.name
    found = {
        site.id: file.parent / site.data.source if site.data.source else dealt / site.id
        for site in federation.participants
    }
    is_elsewhere = any(map(has_its_own, federation.participants))
    return found if not is_elsewhere and all(folder.is_dir() for folder in found.values()) else None


def _named(site: Participant, file: Path) -> Path:
    folder = file.parent / (site.data.source or "")
    if not folder.is_dir() or not any(path.is_file() for path in folder.rglob("*")):
        what = "is empty" if folder.is_dir() else "is not a folder"
        raise NoData(f"{file}: the data of {site.id}, {folder}, {what}.", remedy="Correct participants[].data.source.")
    return folder


def _dealt(
    federation: Federation, sites: list[Participant], *, home: Path, eicu: Path | None, say: Callable[[str], None]
) -> dict[str, Path]:
    """Deal a release, unless it is dealt already from the same tables in the same way."""
    if eicu is not None and not eicu.exists():
        raise NoData(
            f"{EICU_VARIABLE} is {eicu}, which does not exist.",
            remedy="Name a folder with eICU's tables (patient, nurseCharting, lab); without it the data are synthetic.",
        )
    seed = federation.training.seed
    source = eicu or _synthetic(home, seed, say)
    out = home / "data" / federation.name
    assigned = {site.id: site.data.hospitals for site in sites if site.data.hospitals}
    made_from = {
        "source": _listing(source),
        "sites": [site.id for site in sites],
        "assigned": {name: list(hospitals) for name, hospitals in assigned.items()},
        "seed": seed,
    }
    stamp = home / "data" / f"{federation.name}.{_STAMP}"
    folders = {site.id: out / site.id for site in sites}
    if _read(stamp) == made_from and all(folder.is_dir() for folder in folders.values()):
        return folders
    say(f"deals {'eICU' if eicu else 'the synthetic eICU'} to {len(sites)} sites by hospital")
    options = ["--source", str(source), "--out", str(out), "--sites", ",".join(folders), "--seed", str(seed)]
    for name, hospitals in assigned.items():
        options += ["--assign", f"{name}={','.join(map(str, hospitals))}"]
    stamp.unlink(missing_ok=True)
    out.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    out.parent.chmod(0o700)  # what lies there may be patients' data
    _run("deal", options)
    stamp.write_text(json.dumps(made_from), "utf-8")
    return folders


def _synthetic(home: Path, seed: int, say: Callable[[str], None]) -> Path:
    folder = home / "synthetic-eicu"
    stamp = home / f"synthetic-eicu.{_STAMP}"
    made_from = {"stays": SYNTHETIC_STAYS, "seed": seed}
    if _read(stamp) == made_from and folder.is_dir():
        return folder
    say(f"makes a synthetic eICU of {SYNTHETIC_STAYS} stays")
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    stamp.unlink(missing_ok=True)
    _run("synthesize", ["--out", str(folder), "--stays", str(SYNTHETIC_STAYS), "--seed", str(seed)])
    stamp.write_text(json.dumps(made_from), "utf-8")
    return folder


def _run(command: str, options: list[str]) -> None:
    """Run a command of the application's; the operator's side never imports it."""
    done = subprocess.run(  # noqa: S603 - our own module
        [sys.executable, "-m", "fl_app.eicu", command, *options],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    if done.returncode != 0:
        said = done.stderr.strip()
        if "Traceback" in said:
            said = said.splitlines()[-1]
        raise NoData(said or f"python -m fl_app.eicu {command} ended with {done.returncode}.")


def _listing(source: Path) -> list[list[str | int]]:
    """Return what tells one release from another: names, sizes, times of change."""
    files = [source] if source.is_file() else sorted(path for path in source.rglob("*") if path.is_file())
    return [[str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns] for path in files]


def _read(stamp: Path) -> object:
    try:
        return json.loads(stamp.read_text("utf-8"))
    except (OSError, ValueError):
        return None
