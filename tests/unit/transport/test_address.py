"""Addresses of the plan, and where they really are when nodes share a machine."""

from __future__ import annotations

import pytest

from fl_app.config import Address
from fl_app.errors import ConfigError
from fl_app.transport.address import VARIABLE, real_address

PLANNED = Address("10.30.0.10", 8890)


def test_without_a_map_an_address_is_itself() -> None:
    assert real_address(PLANNED, {}) == PLANNED


def test_a_map_of_several_addresses_moves_the_one_that_it_names() -> None:
    mapped = {VARIABLE: "10.9.0.10:8890=127.0.0.1:1, 10.30.0.10:8890=127.0.0.1:40001"}
    assert real_address(PLANNED, mapped) == Address("127.0.0.1", 40001)
    assert real_address(Address("10.30.0.10", 9000), mapped) == Address("10.30.0.10", 9000)


@pytest.mark.parametrize("text", ["nonsense", "a:1=b", "10.30.0.10:8890=127.0.0.1:99999", "=:1"])
def test_a_map_of_another_form_is_an_error_that_shows_it(text: str) -> None:
    with pytest.raises(ConfigError, match=VARIABLE):
        real_address(PLANNED, {VARIABLE: text})
