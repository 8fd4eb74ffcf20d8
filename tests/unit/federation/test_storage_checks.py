"""Buckets and keys that an account has already."""

from __future__ import annotations

import pytest

KEY = "arn:aws:kms:us-east-1:111111111111:key/01234567-89ab-cdef-0123-456789abcdef"


def test_an_existing_bucket_prefix_and_key_are_accepted(problems, data):
    data["participants"][0] |= {"bucket": "hospital-a.research-2", "bucket_prefix": "icu/federate/", "kms_key": KEY}
    assert problems(data) == {}


@pytest.mark.parametrize(
    "bucket", ["s3://research", "Research", "re", "-research", "a..b", "a-", "arn:aws:s3:::research", "b" * 64]
)
def test_a_bucket_goes_by_its_name(problems, data, bucket):
    data["participants"][0]["bucket"] = bucket
    assert "participants[0].bucket" in problems(data)


@pytest.mark.parametrize("prefix", ["/federate/", "federate", "a//b/", "*/", "${aws:username}/", "a/../b\n/", ""])
def test_a_prefix_is_a_folder_without_wildcards(problems, data, prefix):
    data["participants"][0] |= {"bucket": "research", "bucket_prefix": prefix}
    assert "a prefix" in problems(data)["participants[0].bucket_prefix"].found


def test_a_prefix_without_a_bucket_means_nothing(problems, data):
    data["participants"][0]["bucket_prefix"] = "federate/"
    problem = problems(data)["participants[0].bucket_prefix"]
    assert problem.found == "federate/ is a prefix in no bucket."
    assert "Name the bucket" in problem.remedy


@pytest.mark.parametrize("key", ["alias/research", KEY.replace("key/", "alias/"), KEY[:-1], "mrk-0"])
def test_a_key_goes_by_its_arn(problems, data, key):
    data["participants"][0]["kms_key"] = key
    assert "is not a KMS key's ARN" in problems(data)["participants[0].kms_key"].found


@pytest.mark.parametrize(
    ("key", "whose"),
    [
        (KEY.replace("111111111111", "333333333333"), "account 333333333333 in us-east-1"),
        (KEY.replace("us-east-1", "eu-central-1"), "account 111111111111 in eu-central-1"),
    ],
)
def test_a_key_is_of_the_nodes_own_account_and_region(problems, data, key, whose):
    data["participants"][0]["kms_key"] = key
    problem = problems(data)["participants[0].kms_key"]
    assert problem.found == f"is a key of {whose}."
    assert "111111111111, us-east-1" in problem.allowed


@pytest.mark.parametrize(
    ("mine", "other", "is_wrong"),
    [(None, None, True), ("a/", None, True), ("a/", "a/b/", True), ("a/", "b/", False), ("a/", "ab/", False)],
)
def test_two_nodes_share_a_bucket_under_prefixes_of_their_own(problems, data, mine, other, is_wrong):
    for block, prefix in ((data["participants"][0], mine), (data["participants"][1], other)):
        block |= {"bucket": "research"} | ({"bucket_prefix": prefix} if prefix else {})
    assert ("participants[1].bucket" in problems(data)) is is_wrong
