import sys
from pathlib import Path

import pytest

from fl_app.eicu.deal import deal
from fl_app.eicu.synthetic import synthesize

sys.path.insert(0, str(Path(__file__).parents[2] / "helpers"))


@pytest.fixture(scope="session")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic release of 600 stays in 50 hospitals."""
    folder = tmp_path_factory.mktemp("synthetic") / "eicu"
    synthesize(folder, 600, seed=1)
    return folder


@pytest.fixture(scope="session")
def dealt(synthetic: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, dealt to two sites."""
    folder = tmp_path_factory.mktemp("dealt") / "sites"
    deal(synthetic, folder, ["hospital-a", "hospital-b"], seed=1)
    return folder
