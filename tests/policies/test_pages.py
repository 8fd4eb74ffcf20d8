"""The pages say what the code says."""

from __future__ import annotations

import pytest
from policy_pages import DOCS, current


@pytest.mark.parametrize("page", ["policies.md", "permissions.md"])
def test_the_generated_parts_of_a_page_are_current(page: str) -> None:
    """If not: python tests/helpers/policy_pages.py."""
    text = (DOCS / page).read_text("utf-8")
    assert "<!-- generated: " in text
    assert text == current(text)
