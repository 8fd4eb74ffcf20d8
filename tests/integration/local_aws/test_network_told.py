"""What the EC2 API tells of a network beyond what moto does: descriptions of rules, and whose an interface is."""

from typing import Any

from stack_templates import subnet, template, vpc


def rules_of(account: Any, group: str) -> dict[str, dict[str, Any]]:
    """Return the rules of a group by their descriptions."""
    filters = [{"Name": "group-id", "Values": [account.outputs("network")[group]]}]
    told = account.client("ec2").describe_security_group_rules(Filters=filters)["SecurityGroupRules"]
    return {rule.get("Description", ""): rule for rule in told}


def test_a_rule_tells_its_description_whether_it_names_a_range_a_group_or_a_prefix_list(account: Any) -> None:
    (s3,) = account.client("ec2").describe_managed_prefix_lists(
        Filters=[{"Name": "prefix-list-name", "Values": ["com.amazonaws.us-east-1.s3"]}]
    )["PrefixLists"]
    https = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443}
    place = {"VpcId": {"Ref": "Vpc"}, "GroupDescription": "g"}
    other = {"Type": "AWS::EC2::SecurityGroup", "Properties": place}
    egress = [
        {**https, "CidrIp": "10.0.0.0/8", "Description": "a range"},
        {**https, "DestinationSecurityGroupId": {"Fn::GetAtt": ["Other", "GroupId"]}, "Description": "a group"},
        {**https, "DestinationPrefixListId": s3["PrefixListId"], "Description": "a list"},
    ]
    group = {"Type": "AWS::EC2::SecurityGroup", "Properties": {**place, "SecurityGroupEgress": egress}}
    told = {"Group": {"Value": {"Fn::GetAtt": ["Group", "GroupId"]}}}
    account.create("network", template(told, Vpc=vpc(), Other=other, Group=group))
    assert set(rules_of(account, "Group")) == {"a range", "a group", "a list"}
    assert rules_of(account, "Group")["a list"]["PrefixListId"] == s3["PrefixListId"]


def test_an_interface_endpoints_interface_is_told_from_an_instances(account: Any) -> None:
    endpoint = {
        "VpcId": {"Ref": "Vpc"},
        "ServiceName": "com.amazonaws.us-east-1.ssm",
        "VpcEndpointType": "Interface",
        "SubnetIds": [{"Ref": "Subnet"}],
    }
    nic = {"Type": "AWS::EC2::NetworkInterface", "Properties": {"SubnetId": {"Ref": "Subnet"}}}
    body = template(Vpc=vpc(), Subnet=subnet(), Nic=nic, Ssm={"Type": "AWS::EC2::VPCEndpoint", "Properties": endpoint})
    assert account.create("network", body) == "CREATE_COMPLETE"
    told = account.client("ec2").describe_network_interfaces()["NetworkInterfaces"]
    assert sorted(interface["InterfaceType"] for interface in told) == ["interface", "vpc_endpoint"]
