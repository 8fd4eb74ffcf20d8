"""A template is refused before anything is made, if it uses what is not implemented or does not hold together."""

import json

import pytest

from infra.local.aws.cfn.errors import TemplateError
from infra.local.aws.cfn.template import parse

VPC = {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.0.0.0/16"}}


def test_yaml_with_short_forms_means_the_same_as_json_with_long_ones() -> None:
    yaml_text = """
    AWSTemplateFormatVersion: 2010-09-09
    Resources:
      Subnet:
        Type: AWS::EC2::Subnet
        Properties:
          VpcId: !Ref Vpc
          CidrBlock: !Select [0, !Split [",", !GetAtt Vpc.CidrBlock]]
    """
    parsed = parse(yaml_text).resources["Subnet"].properties
    assert parsed == {
        "VpcId": {"Ref": "Vpc"},
        "CidrBlock": {"Fn::Select": [0, {"Fn::Split": [",", {"Fn::GetAtt": ["Vpc", "CidrBlock"]}]}]},
    }


def test_a_template_without_resources_is_refused_in_awss_words() -> None:
    with pytest.raises(TemplateError, match="At least one Resources member must be defined"):
        parse("{}")


@pytest.mark.parametrize("section", ["Transform", "Hooks", "Ressources"])
def test_a_section_that_is_not_implemented_is_refused(section: str) -> None:
    with pytest.raises(TemplateError, match=rf"Invalid template property or properties \[{section}\]"):
        parse(json.dumps({"Resources": {"Vpc": VPC}, section: {}}))


@pytest.mark.parametrize("attribute", ["CreationPolicy", "UpdatePolicy", "Poperties"])
def test_a_resource_attribute_that_is_not_implemented_is_refused(attribute: str) -> None:
    with pytest.raises(TemplateError, match=f"Invalid template resource property '{attribute}'"):
        parse(json.dumps({"Resources": {"Vpc": {**VPC, attribute: {}}}}))


def test_a_dependency_on_a_resource_that_is_not_there_is_refused() -> None:
    with pytest.raises(TemplateError, match=r"Unresolved resource dependencies \[Nowhere\]"):
        parse(json.dumps({"Resources": {"Vpc": {**VPC, "DependsOn": "Nowhere"}}}))


def test_text_that_is_neither_json_nor_yaml_is_refused() -> None:
    with pytest.raises(TemplateError, match="Template format error"):
        parse("{ not: [closed")
