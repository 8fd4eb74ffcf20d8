"""Which hospitals of a site train and which test, as its folder says in ``hospitals.json``."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from fl_app.eicu.errors import UnusableSplit

HOSPITALS_FILE = "hospitals.json"


@dataclass(frozen=True, slots=True)
class SiteHospitals:
    """What ``hospitals.json`` says: a site's hospitals for training and for testing, and where the data is from."""

    train: tuple[int, ...]
    test: tuple[int, ...]
    source: str

    @classmethod
    def read(cls, folder: Path, site: str) -> SiteHospitals:
        """Read a site's hospitals.

        Raises:
            UnusableSplit: the file is missing, malformed, empty on one side, or has a hospital on both.
        """
        path = folder / HOSPITALS_FILE
        try:
            document = json.loads(path.read_text("utf-8"))
            split = cls(
                tuple(int(hospital) for hospital in document["train"]),
                tuple(int(hospital) for hospital in document["test"]),
                str(document["source"]),
            )
        except (OSError, ValueError, TypeError, KeyError) as error:
            expected = '{"train": [ids], "test": [ids], "source": text}'
            raise UnusableSplit(
                f"{site}: {path} cannot be used: {error!r}.",
                remedy=f"It must say {expected}; `python -m fl_app.eicu deal` writes it.",
            ) from error
        both = set(split.train) & set(split.test)
        if both or not split.train or not split.test:
            found = f"hospital {min(both)} is in train and in test" if both else "train or test has no hospital"
            raise UnusableSplit(f"{site}: {path}: {found}.", remedy="Deal the source again, or correct the lists.")
        return split

    def write(self, folder: Path) -> None:
        """Write the file."""
        text = json.dumps(asdict(self), indent=1) + "\n"
        (folder / HOSPITALS_FILE).write_text(text, "utf-8")
