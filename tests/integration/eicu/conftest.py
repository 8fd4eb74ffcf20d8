import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "helpers"))

from dealt_eicu import deal_eicu
from fl_processes import Federation
from needs import cannot_run


@pytest.fixture(scope="session")
def demo() -> Path:
    """The open eICU demo: EICU_DIR, or beside the checkout. In CI its absence is a failure, elsewhere not run."""
    folder = Path(os.environ.get("EICU_DIR") or Path(__file__).parents[3] / "../shared/data/eicu-demo").resolve()
    if not (folder / "patient.csv.gz").is_file():
        reason = f"needs the eICU demo; {folder} has none (set EICU_DIR)"
        cannot_run(reason)
    return folder


@pytest.fixture(scope="session")
def dealt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic release of 600 stays, dealt to two sites."""
    return deal_eicu(tmp_path_factory.mktemp("eicu"), stays=600)


@pytest.fixture
def federation(tmp_path: Path, dealt: Path) -> Iterator[Federation]:
    """Two hospitals and an aggregator as processes, three rounds on the synthetic release."""
    made = Federation(
        tmp_path / "federation",
        ("hospital-a", "hospital-b"),
        rounds=3,
        dataset={"name": "eicu", "options": {}},
        model={"name": "logistic_regression", "options": {}},
    )
    for site in made.sites:
        (made.root / site / "data").rmdir()
        (made.root / site / "data").symlink_to(dealt / site)
    yield made
    made.end()
