"""The other resource types: each is made, found through its service, changed, and gone after deletion."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from stack_templates import parameter, subnet, template, vpc

TRUST = {"Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
READ = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]}


def test_a_private_bucket_over_tls_only_is_usable_by_its_owner(account: Any) -> None:
    tls = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [{"Fn::GetAtt": ["Bucket", "Arn"]}, {"Fn::Sub": "${Bucket.Arn}/*"}],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    properties = {
        "VersioningConfiguration": {"Status": "Enabled"},
        "PublicAccessBlockConfiguration": {"BlockPublicAcls": "true", "BlockPublicPolicy": True},
        "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
        "BucketEncryption": {
            "ServerSideEncryptionConfiguration": [{"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
        },
    }
    policy = {"Bucket": {"Ref": "Bucket"}, "PolicyDocument": {"Version": "2012-10-17", "Statement": [tls]}}
    body = template(
        {"Name": {"Value": {"Ref": "Bucket"}}},
        Bucket={"Type": "AWS::S3::Bucket", "Properties": properties},
        Policy={"Type": "AWS::S3::BucketPolicy", "Properties": policy},
    )
    assert account.create("s", body) == "CREATE_COMPLETE"
    s3, name = account.client("s3"), account.outputs("s")["Name"]
    s3.put_object(Bucket=name, Key="k", Body=b"v")
    assert s3.get_bucket_versioning(Bucket=name)["Status"] == "Enabled"
    assert account.delete("s") == "DELETE_FAILED"
    assert "not empty" in account.reason("s", "Bucket", "DELETE_FAILED")


def test_a_bucket_says_which_stack_made_it(account: Any) -> None:
    def body(purpose: str) -> dict[str, Any]:
        tags = [{"Key": "purpose", "Value": purpose}]
        bucket = {"Type": "AWS::S3::Bucket", "Properties": {"Tags": tags}}
        return template({"Name": {"Value": {"Ref": "Data"}}}, Data=bucket)

    def tags() -> dict[str, str]:
        answer = account.client("s3").get_bucket_tagging(Bucket=account.outputs("s")["Name"])
        return {tag["Key"]: tag["Value"] for tag in answer["TagSet"]}

    assert account.create("s", body("first")) == "CREATE_COMPLETE"
    made_by = {"aws:cloudformation:stack-name": "s", "aws:cloudformation:logical-id": "Data"}
    assert tags().items() >= {**made_by, "purpose": "first"}.items()
    assert account.update("s", body("second")) == "UPDATE_COMPLETE"
    assert tags().items() >= {**made_by, "purpose": "second"}.items()
    assert account.delete("s") == "DELETE_COMPLETE"


def test_a_policy_that_denies_without_condition_does_deny(account: Any) -> None:
    s3, name = account.client("s3"), f"shut-{account.id}"
    s3.create_bucket(Bucket=name)
    s3.put_object(Bucket=name, Key="k", Body=b"v")
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{name}/*"}
    s3.put_bucket_policy(Bucket=name, Policy=json.dumps({"Statement": [deny]}))
    with pytest.raises(ClientError, match="Forbidden"):
        s3.get_object(Bucket=name, Key="k")


def test_a_role_with_its_profile_and_policies_comes_and_goes(account: Any) -> None:
    def body(action: str) -> dict[str, Any]:
        inline = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": action, "Resource": "*"}]}
        role = {
            "RoleName": "node",
            "AssumeRolePolicyDocument": TRUST,
            "Policies": [{"PolicyName": "own", "PolicyDocument": inline}],
            "ManagedPolicyArns": [{"Ref": "Managed"}],
        }
        policy = {"PolicyName": "more", "PolicyDocument": READ, "Roles": [{"Ref": "Role"}]}
        return template(
            Role={"Type": "AWS::IAM::Role", "Properties": role},
            Policy={"Type": "AWS::IAM::Policy", "Properties": policy},
            Managed={"Type": "AWS::IAM::ManagedPolicy", "Properties": {"PolicyDocument": READ}},
            Profile={"Type": "AWS::IAM::InstanceProfile", "Properties": {"Roles": [{"Ref": "Role"}]}},
        )

    iam = account.client("iam")
    assert account.create("s", body("s3:ListBucket")) == "CREATE_COMPLETE"
    assert sorted(iam.list_role_policies(RoleName="node")["PolicyNames"]) == ["more", "own"]
    assert len(iam.list_instance_profiles_for_role(RoleName="node")["InstanceProfiles"]) == 1
    assert account.update("s", body("s3:PutObject")) == "UPDATE_COMPLETE"
    told = iam.get_role_policy(RoleName="node", PolicyName="own")["PolicyDocument"]
    assert told["Statement"][0]["Action"] == "s3:PutObject"
    assert account.delete("s") == "DELETE_COMPLETE"
    assert iam.list_roles()["Roles"] == []
    assert iam.list_policies(Scope="Local")["Policies"] == []
    assert iam.list_instance_profiles()["InstanceProfiles"] == []


def test_log_group_parameter_secret_and_key_come_and_go(account: Any) -> None:
    def body(days: int, value: str) -> dict[str, Any]:
        log = {"LogGroupName": "/federate/x", "RetentionInDays": days}
        secret = {"Name": "federate/x", "GenerateSecretString": {"PasswordLength": 40, "ExcludePunctuation": True}}
        alias = {"AliasName": "alias/x", "TargetKeyId": {"Ref": "Key"}}
        return template(
            Log={"Type": "AWS::Logs::LogGroup", "Properties": log},
            Name=parameter(value, Name="/federate/x"),
            Secret={"Type": "AWS::SecretsManager::Secret", "Properties": secret},
            Key={"Type": "AWS::KMS::Key", "Properties": {"EnableKeyRotation": True}},
            Alias={"Type": "AWS::KMS::Alias", "Properties": alias},
            Note={"Type": "AWS::CDK::Metadata", "Properties": {"Analytics": "v2:x"}},
        )

    assert account.create("s", body(30, "one")) == "CREATE_COMPLETE"
    assert account.update("s", body(90, "two")) == "UPDATE_COMPLETE"
    (group,) = account.client("logs").describe_log_groups()["logGroups"]
    assert group["retentionInDays"] == 90
    assert account.client("ssm").get_parameter(Name="/federate/x")["Parameter"]["Value"] == "two"
    secret = account.client("secretsmanager").get_secret_value(SecretId="federate/x")["SecretString"]
    assert len(secret) == 40
    assert account.delete("s") == "DELETE_COMPLETE"
    assert account.client("logs").describe_log_groups()["logGroups"] == []
    assert account.client("secretsmanager").list_secrets()["SecretList"] == []
    aliases = account.client("kms").list_aliases()["Aliases"]
    assert [alias for alias in aliases if not alias["AliasName"].startswith("alias/aws/")] == []


def test_endpoints_stand_in_their_subnet_with_their_group_and_go_again(account: Any) -> None:
    group = {"GroupDescription": "endpoints", "VpcId": {"Ref": "Vpc"}}
    interface = {
        "VpcId": {"Ref": "Vpc"},
        "VpcEndpointType": "Interface",
        "ServiceName": "com.amazonaws.us-east-1.ssm",
        "SubnetIds": [{"Ref": "Subnet"}],
        "SecurityGroupIds": [{"Fn::GetAtt": ["Group", "GroupId"]}],
        "PrivateDnsEnabled": True,
    }
    gateway = {
        "VpcId": {"Ref": "Vpc"},
        "VpcEndpointType": "Gateway",
        "ServiceName": "com.amazonaws.us-east-1.s3",
        "RouteTableIds": [{"Ref": "Table"}],
    }
    body = template(
        {"Group": {"Value": {"Ref": "Group"}}, "Table": {"Value": {"Ref": "Table"}}},
        Vpc=vpc(EnableDnsSupport=True, EnableDnsHostnames=True),
        Subnet=subnet(),
        Table={"Type": "AWS::EC2::RouteTable", "Properties": {"VpcId": {"Ref": "Vpc"}}},
        Group={"Type": "AWS::EC2::SecurityGroup", "Properties": group},
        Ssm={"Type": "AWS::EC2::VPCEndpoint", "Properties": interface},
        S3={"Type": "AWS::EC2::VPCEndpoint", "Properties": gateway},
    )
    assert account.create("s", body) == "CREATE_COMPLETE"
    ec2 = account.client("ec2")
    (own,) = ec2.describe_network_interfaces()["NetworkInterfaces"]
    assert own["PrivateIpAddress"].startswith("10.10.0.")
    assert [item["GroupId"] for item in own["Groups"]] == [account.outputs("s")["Group"]]
    routes = ec2.describe_route_tables(RouteTableIds=[account.outputs("s")["Table"]])["RouteTables"][0]["Routes"]
    assert any(route.get("GatewayId", "").startswith("vpce-") for route in routes)
    assert account.delete("s") == "DELETE_COMPLETE"
    assert ec2.describe_network_interfaces()["NetworkInterfaces"] == []


def test_rules_of_a_group_are_changed_in_place(account: Any) -> None:
    def body(port: int) -> dict[str, Any]:
        egress = [{"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "CidrIp": "10.30.0.10/32"}]
        group = {"GroupDescription": "node", "VpcId": {"Ref": "Vpc"}, "SecurityGroupEgress": egress}
        return template(
            {"Id": {"Value": {"Ref": "Group"}}},
            Vpc=vpc(),
            Group={"Type": "AWS::EC2::SecurityGroup", "Properties": group},
        )

    def allowed() -> list[tuple[int, str]]:
        told = account.client("ec2").describe_security_groups(GroupIds=[account.outputs("s")["Id"]])
        rules = told["SecurityGroups"][0]["IpPermissionsEgress"]
        return [(rule["FromPort"], rule["IpRanges"][0]["CidrIp"]) for rule in rules]

    account.create("s", body(8890))
    assert allowed() == [(8890, "10.30.0.10/32")]
    assert account.update("s", body(9000)) == "UPDATE_COMPLETE"
    assert allowed() == [(9000, "10.30.0.10/32")]


def test_a_group_that_an_interface_uses_is_not_deleted(account: Any) -> None:
    account.create("s", template({"Subnet": {"Value": {"Ref": "Subnet"}}}, Vpc=vpc(), Subnet=subnet()))
    ec2 = account.client("ec2")
    group = ec2.create_security_group(GroupName="g", Description="g", VpcId=account.vpcs()[0])["GroupId"]
    ec2.create_network_interface(SubnetId=account.outputs("s")["Subnet"], Groups=[group])
    with pytest.raises(ClientError, match="has a dependent object"):
        ec2.delete_security_group(GroupId=group)


def test_the_image_parameters_of_aws_name_images_that_exist(account: Any) -> None:
    name = "/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-22.04/latest/ami-id"
    image = account.client("ssm").get_parameter(Name=name)["Parameter"]["Value"]
    assert account.client("ec2").describe_images(ImageIds=[image])["Images"][0]["State"] == "available"


def node_client(account: Any, role: str) -> Any:
    """Return an S3 client with the keys of a role of the account, which is made for that."""
    account.client("iam").create_role(RoleName=role, AssumeRolePolicyDocument=json.dumps(TRUST))
    arn = f"arn:aws:iam::{account.id}:role/{role}"
    keys = account.client("sts").assume_role(RoleArn=arn, RoleSessionName="i-0")["Credentials"]
    return account.clients.holding(keys, "s3", "us-east-1")


def shut(account: Any, **statement: Any) -> str:
    """Make a bucket with an object, and a policy that denies something; return its name."""
    s3, name = account.client("s3"), f"shut-{account.id}"
    s3.create_bucket(Bucket=name)
    s3.put_object(Bucket=name, Key="data/k", Body=b"v", Tagging="sha256=abc")
    deny = {"Effect": "Deny", "Principal": {"AWS": "*"}, "Resource": [f"arn:aws:s3:::{name}/data/*"], **statement}
    s3.put_bucket_policy(Bucket=name, Policy=json.dumps({"Statement": [deny]}))
    return name


def test_what_is_denied_to_all_but_a_role_the_role_alone_gets(account: Any) -> None:
    own, other = node_client(account, "node"), node_client(account, "other")
    arn = f"arn:aws:iam::{account.id}:role/node"
    name = shut(account, Action=["s3:GetObject"], Condition={"ArnNotEquals": {"aws:PrincipalArn": arn}})
    assert own.get_object(Bucket=name, Key="data/k")["Body"].read() == b"v"
    for stranger in (other, account.client("s3")):
        for read in (stranger.get_object, stranger.head_object):
            with pytest.raises(ClientError, match="403"):
                read(Bucket=name, Key="data/k")
    account.client("s3").put_object(Bucket=name, Key="data/k", Body=b"w", Tagging="sha256=def")


def test_an_objects_tags_take_an_action_of_their_own(account: Any) -> None:
    name = shut(account, Action=["s3:GetObject"], Condition={"ArnNotEquals": {"aws:PrincipalArn": "arn:aws:iam::1:x"}})
    (tag,) = account.client("s3").get_object_tagging(Bucket=name, Key="data/k")["TagSet"]
    assert tag == {"Key": "sha256", "Value": "abc"}


def test_a_policy_sees_which_key_a_put_asks_for(account: Any) -> None:
    asked = "s3:x-amz-server-side-encryption-aws-kms-key-id"
    other = {"StringNotEquals": {asked: "arn:own"}, "Null": {asked: "false"}}
    name, s3 = shut(account, Action=["s3:PutObject"], Condition=other), account.client("s3")
    s3.put_object(Bucket=name, Key="data/default", Body=b"v")
    s3.put_object(Bucket=name, Key="data/own", Body=b"v", ServerSideEncryption="aws:kms", SSEKMSKeyId="arn:own")
    with pytest.raises(ClientError, match="403"):
        s3.put_object(Bucket=name, Key="data/other", Body=b"v", ServerSideEncryption="aws:kms", SSEKMSKeyId="arn:o")


def test_an_access_log_goes_to_a_bucket_whose_policy_lets_the_logging_service_write(account: Any) -> None:
    def body(prefix: str | None, *, admitted: bool = True) -> dict[str, Any]:
        allow = {
            "Effect": "Allow",
            "Principal": {"Service": "logging.s3.amazonaws.com"},
            "Action": ["s3:PutObject"],
            "Resource": {"Fn::Sub": "${Log.Arn}/*"},
        }
        logging = {"DestinationBucketName": {"Ref": "Log"}, "LogFilePrefix": prefix}
        bucket = {"Type": "AWS::S3::Bucket", "DependsOn": ["Access"]}
        document = {"Version": "2012-10-17", "Statement": [allow if admitted else {**allow, "Effect": "Deny"}]}
        policy = {"Bucket": {"Ref": "Log"}, "PolicyDocument": document}
        return template(
            {"Name": {"Value": {"Ref": "Bucket"}}, "Log": {"Value": {"Ref": "Log"}}},
            Log={"Type": "AWS::S3::Bucket"},
            Access={"Type": "AWS::S3::BucketPolicy", "Properties": policy},
            Bucket={**bucket, "Properties": {"LoggingConfiguration": logging}} if prefix else bucket,
        )

    def target() -> Any:
        told = account.client("s3").get_bucket_logging(Bucket=account.outputs("s")["Name"])
        return told.get("LoggingEnabled", {}).get("TargetPrefix")

    assert account.create("s", body("first/")) == "CREATE_COMPLETE"
    assert target() == "first/"
    assert account.update("s", body("second/")) == "UPDATE_COMPLETE"
    assert target() == "second/"
    assert account.update("s", body(None)) == "UPDATE_COMPLETE"
    assert target() is None
    # AWS delivers hours later; here nothing is delivered, and the bucket can go.
    assert "Contents" not in account.client("s3").list_objects_v2(Bucket=account.outputs("s")["Log"])
    assert account.delete("s") == "DELETE_COMPLETE"
    assert account.create("refused", body("x/", admitted=False)) == "ROLLBACK_COMPLETE"
    assert "permissions to the logging service" in account.reason("refused", "Bucket", "CREATE_FAILED")


LOGS_USE = ["kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey"]


def key_for_logs(account: Any, group: str) -> dict[str, Any]:
    """Return a key that CloudWatch Logs may use for one log group."""
    arn = f"arn:aws:logs:us-east-1:{account.id}:log-group:{group}"
    use = {
        "Effect": "Allow",
        "Principal": {"Service": "logs.us-east-1.amazonaws.com"},
        "Action": LOGS_USE,
        "Resource": ["*"],
        "Condition": {"ArnLike": {"kms:EncryptionContext:aws:logs:arn": [arn, f"{arn}/*"]}},
    }
    own = {"AWS": f"arn:aws:iam::{account.id}:root"}
    root = {"Effect": "Allow", "Principal": own, "Action": "kms:*", "Resource": "*"}
    return {"Type": "AWS::KMS::Key", "Properties": {"KeyPolicy": {"Version": "2012-10-17", "Statement": [root, use]}}}


def test_a_log_groups_key_is_set_changed_and_taken_away(account: Any) -> None:
    def body(key: str | None) -> dict[str, Any]:
        encrypted = {"KmsKeyId": {"Fn::GetAtt": [key, "Arn"]}} if key else {}
        keys = {name: key_for_logs(account, "/federate/x") for name in ("First", "Second")}
        log = {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": "/federate/x/flows", **encrypted}}
        outputs = {name: {"Value": {"Fn::GetAtt": [name, "Arn"]}} for name in keys}
        return template(outputs, **keys, Log=log)

    def key() -> str | None:
        (group,) = account.client("logs").describe_log_groups()["logGroups"]
        return group.get("kmsKeyId")

    assert account.create("s", body("First")) == "CREATE_COMPLETE"
    assert key() == account.outputs("s")["First"]
    assert account.update("s", body("Second")) == "UPDATE_COMPLETE"
    assert key() == account.outputs("s")["Second"]
    assert account.update("s", body(None)) == "UPDATE_COMPLETE"
    assert key() is None


@pytest.mark.parametrize("group", ["/federate/other", "/federate/xy"])
def test_a_key_whose_policy_does_not_name_the_log_group_is_refused_for_it(account: Any, group: str) -> None:
    encrypted = {"LogGroupName": group, "KmsKeyId": {"Fn::GetAtt": ["Key", "Arn"]}}
    body = template(
        Key=key_for_logs(account, "/federate/x"), Log={"Type": "AWS::Logs::LogGroup", "Properties": encrypted}
    )
    assert account.create("s", body) == "ROLLBACK_COMPLETE"
    assert "is not allowed to be used with arn:aws:logs:" in account.reason("s", "Log", "CREATE_FAILED")
