"""What AWS takes no more of is said before anything is deployed, with what to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from variants import many

from infra.federation.model import Federation
from stacks.limits import TooLarge, check, problems


def _template(**sections: dict[str, Any]) -> str:
    return json.dumps({"Resources": {}, **sections})


def _instance(user_data: Any) -> str:
    return _template(Resources={"Node": {"Type": "AWS::EC2::Instance", "Properties": {"UserData": user_data}}})


def test_every_scanned_template_is_within_the_limits(scanned: Any) -> None:
    for name, template in scanned.templates.items():
        assert list(problems(json.dumps(template, indent=1), in_a_bucket=name.startswith("alone/"))) == [], name


@pytest.mark.parametrize(("in_a_bucket", "most"), [(False, 51_200), (True, 1_000_000)])
def test_a_template_of_the_largest_size_fits_and_one_byte_more_does_not(in_a_bucket: bool, most: int) -> None:
    fitting = _template(Description={"x": "-" * (most - len(_template(Description={"x": ""})))})
    assert len(fitting) == most
    assert list(problems(fitting, in_a_bucket=in_a_bucket)) == []
    assert list(problems(fitting + " ", in_a_bucket=in_a_bucket)) == [
        f"the template has {most + 1:,} bytes; {most:,} are the most."
    ]


@pytest.mark.parametrize(("section", "most"), [("Resources", 500), ("Parameters", 200), ("Outputs", 200)])
def test_a_template_may_have_so_many_of_each_and_no_more(section: str, most: int) -> None:
    def of(count: int) -> str:
        return _template(**{section: {f"N{number}": {"Type": "T"} for number in range(count)}})

    assert list(problems(of(most), in_a_bucket=True)) == []
    (problem,) = problems(of(most + 1), in_a_bucket=True)
    assert problem == f"{most + 1} {section.lower()} in the template; {most} are the most."


def test_user_data_is_measured_before_it_is_encoded_and_with_its_references() -> None:
    assert list(problems(_instance({"Fn::Base64": "x" * 16_384}), in_a_bucket=True)) == []
    assert list(problems(_instance({"Fn::Base64": "x" * 16_385}), in_a_bucket=True))
    joined = {"Fn::Base64": {"Fn::Join": ["", ["x" * 16_300, {"Ref": "Bucket"}]]}}
    (problem,) = problems(_instance(joined), in_a_bucket=True)
    assert problem.startswith("Node: the user data has 16,428 characters")


def test_a_roles_inline_policies_are_measured_together() -> None:
    statement = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::" + "x" * 5_200}
    policies = [{"PolicyName": name, "PolicyDocument": {"Statement": [statement]}} for name in "ab"]
    for count, found in ((1, 0), (2, 1)):
        role = {"Type": "AWS::IAM::Role", "Properties": {"Policies": policies[:count]}}
        assert len(list(problems(_template(Resources={"Role": role}), in_a_bucket=True))) == found


def test_sixty_four_sites_fit_with_a_bucket_and_without_one_the_error_says_so(tmp_path: Path) -> None:
    from stacks.app import synthesize

    lots = many(64)
    with pytest.raises(TooLarge) as error:
        synthesize(Federation.model_validate(lots), outdir=tmp_path / "legacy")
    assert error.value.exit_code == 2
    assert "HubNetwork: the template has " in str(error.value)
    assert "synthesizer: default" in error.value.remedy
    check(Federation.model_validate({**lots, "synthesizer": "default"}), tmp_path / "legacy")
