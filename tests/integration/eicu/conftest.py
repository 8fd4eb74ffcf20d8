import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "reference"))


@pytest.fixture(scope="session")
def demo() -> Path:
    """The open eICU demo: EICU_DIR, or beside the checkout. In CI its absence is a failure, elsewhere not run."""
    folder = Path(os.environ.get("EICU_DIR") or Path(__file__).parents[3] / "../shared/data/eicu-demo").resolve()
    if not (folder / "patient.csv.gz").is_file():
        reason = f"needs the eICU demo; {folder} has none (set EICU_DIR)"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return folder
