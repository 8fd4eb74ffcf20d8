"""Free ranges."""

from __future__ import annotations

from ipaddress import IPv4Network

from hypothesis import given
from hypothesis import strategies as st

from infra.federation.cidr import DOCKER, PRIVATE, free_range


@st.composite
def private_networks(draw):
    block = draw(st.sampled_from(PRIVATE))
    prefix = draw(st.integers(16, 26))
    offset = draw(st.integers(0, (1 << (prefix - block.prefixlen)) - 1))
    return IPv4Network((int(block.network_address) + (offset << (32 - prefix)), prefix))


@given(near=private_networks(), taken=st.lists(private_networks(), max_size=30))
def test_a_free_range_is_private_of_the_size_asked_and_overlaps_nothing(near, taken):
    free = free_range(near, taken)
    assert free is not None
    assert free.prefixlen == near.prefixlen
    assert any(free.subnet_of(block) for block in PRIVATE)
    assert not any(free.overlaps(network) for network in (*taken, DOCKER))


def test_the_next_one_above_is_taken_and_from_below_at_the_end_of_the_block():
    assert free_range(IPv4Network("10.1.0.0/16"), [IPv4Network("10.1.0.0/16")]) == IPv4Network("10.2.0.0/16")
    assert free_range(IPv4Network("10.255.0.0/16"), [IPv4Network("10.255.0.0/16")]) == IPv4Network("10.0.0.0/16")
    assert free_range(IPv4Network("192.168.0.0/16"), [IPv4Network("192.168.0.0/16")]) == IPv4Network("10.0.0.0/16")


def test_there_is_none_when_all_private_space_is_taken():
    assert free_range(IPv4Network("10.1.0.0/16"), PRIVATE) is None
