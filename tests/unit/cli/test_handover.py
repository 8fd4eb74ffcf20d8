"""``federate join`` where its answer cannot be written: what was done is said, and how to get the answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.cli.handover import NotWritten, _write


@pytest.mark.parametrize("name", ["no-such-folder/certificate.json", "."])
def test_an_answer_that_cannot_be_written_is_had_by_the_same_command(tmp_path: Path, name: str) -> None:
    with pytest.raises(NotWritten) as error:
        _write(tmp_path / name, "{}")
    assert error.value.exit_code == 2
    assert "certificate is signed" in str(error.value)
    assert "--output: it gives the same answer again" in str(error.value)
