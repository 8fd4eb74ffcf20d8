"""The least that a person needs in a node's account, by what they do there; documents for an account's admin to attach.

Four roles, because they should not be one: who deploys makes and deletes resources, and reads nothing; who operates
starts, stops and reads what nodes say, and cannot read a patient's row; who fills ``data/`` reads and writes just that;
and a shell on a node, as root, is a way to everything that the node can read. Nothing here imports CDK.
"""

from __future__ import annotations

from typing import Any, Final, Literal, get_args

from infra.federation.derive import Node, accept_role_name, nodes, stack_name
from infra.federation.model import Federation
from node_bootstrap import contract
from stacks.permissions import Statement, allow, policy

Role = Literal["deployer", "operator", "steward", "shell"]
ROLES: Final[tuple[Role, ...]] = get_args(Role)

#: What each role is for, in a sentence.
PURPOSES: Final[dict[Role, str]] = {
    "deployer": "deploys, changes and destroys the stacks; reads no data, no parameter and no log",
    "operator": "supplies releases and run files, starts, stops, watches; reads results, never data/",
    "steward": "fills data/ of the account's bucket, and nothing else",
    "shell": "a shell or a command on the node, which is root there: to be given for the hour in which it is needed",
}

_STACKS = (
    "ContinueUpdateRollback CreateChangeSet DeleteChangeSet DeleteStack DescribeChangeSet DescribeEvents "
    "DescribeStackEvents DescribeStackResource DescribeStackResources DescribeStacks ExecuteChangeSet GetTemplate "
    "ListStackResources RollbackStack"
)
_MADE_IN_EC2 = (
    "AllocateAddress AssociateRouteTable AttachInternetGateway AttachVolume AuthorizeSecurityGroupEgress "
    "AuthorizeSecurityGroupIngress CreateFlowLogs CreateInstanceConnectEndpoint CreateInternetGateway "
    "CreateLaunchTemplate CreateLaunchTemplateVersion CreateNatGateway CreateNetworkInterface CreateRoute "
    "CreateRouteTable CreateSecurityGroup CreateSubnet CreateTags CreateVolume CreateVpc CreateVpcEndpoint "
    "DeleteFlowLogs DeleteInstanceConnectEndpoint DeleteInternetGateway DeleteLaunchTemplate DeleteNatGateway "
    "DeleteNetworkInterface DeleteRoute DeleteRouteTable DeleteSecurityGroup DeleteSubnet DeleteTags DeleteVolume "
    "DeleteVpc DeleteVpcEndpoints DetachInternetGateway DetachVolume DisassociateRouteTable ModifyInstanceAttribute "
    "ModifyInstanceMetadataOptions ModifyNetworkInterfaceAttribute ModifySubnetAttribute ModifyVolume "
    "ModifyVpcAttribute ModifyVpcEndpoint MonitorInstances ReleaseAddress ReplaceIamInstanceProfileAssociation "
    "ReplaceRoute RevokeSecurityGroupEgress RevokeSecurityGroupIngress RunInstances StartInstances StopInstances "
    "TerminateInstances UnmonitorInstances UpdateSecurityGroupRuleDescriptionsEgress "
    "UpdateSecurityGroupRuleDescriptionsIngress"
)
_MADE_ROLES = (
    "CreateRole DeleteRole DeleteRolePermissionsBoundary DeleteRolePolicy GetRole GetRolePolicy "
    "ListAttachedRolePolicies ListRolePolicies ListRoleTags PutRolePermissionsBoundary PutRolePolicy TagRole UntagRole "
    "UpdateAssumeRolePolicy UpdateRole"
)
#: Those by which a role could get past its boundary.
_BOUNDED = frozenset({"CreateRole", "DeleteRolePermissionsBoundary", "PutRolePermissionsBoundary", "PutRolePolicy"})
_MADE_PROFILES = (
    "AddRoleToInstanceProfile CreateInstanceProfile DeleteInstanceProfile GetInstanceProfile "
    "RemoveRoleFromInstanceProfile"
)
_MADE_BUCKETS = (
    "CreateBucket DeleteBucket DeleteBucketPolicy GetBucketLogging GetBucketOwnershipControls GetBucketPolicy "
    "GetBucketPublicAccessBlock GetBucketTagging GetBucketVersioning GetEncryptionConfiguration "
    "GetLifecycleConfiguration PutBucketLogging PutBucketOwnershipControls PutBucketPolicy PutBucketPublicAccessBlock "
    "PutBucketTagging PutBucketVersioning PutEncryptionConfiguration PutLifecycleConfiguration"
)
_EMPTIED_BUCKETS = "DeleteObject DeleteObjectVersion ListBucket ListBucketVersions"
_MADE_LOGS = (
    "AssociateKmsKey CreateLogGroup DeleteLogGroup DeleteRetentionPolicy DisassociateKmsKey ListTagsForResource "
    "PutRetentionPolicy TagResource UntagResource"
)
_MADE_KEYS = (
    "DescribeKey DisableKeyRotation EnableKeyRotation GetKeyPolicy GetKeyRotationStatus ListResourceTags PutKeyPolicy "
    "ScheduleKeyDeletion TagResource UntagResource UpdateKeyDescription"
)
_ALIASES = "CreateAlias DeleteAlias UpdateAlias"
_AUDITED = (
    "cloudformation:ListStacks ec2:Describe* iam:ListInstanceProfiles iam:ListRoles kms:ListAliases "
    "logs:DescribeLogGroups s3:ListAllMyBuckets secretsmanager:ListSecrets ssm:DescribeParameters"
)
#: As many characters of a stack's name are in the name of its bucket whatever is cut.
_NAME_KEPT = 24
#: What is made to watch a node.
_ALARMS = "DeleteAlarms DescribeAlarms ListTagsForResource PutMetricAlarm TagResource UntagResource"
_DASHBOARDS = "DeleteDashboards GetDashboard PutDashboard"
_TOPICS = (
    "CreateTopic DeleteTopic GetTopicAttributes ListSubscriptionsByTopic ListTagsForResource SetTopicAttributes "
    "Subscribe TagResource Unsubscribe UntagResource"
)
#: What an operator writes for a node; all else in its parameters is the node's to publish.
_TOLD = (
    contract.DESIRED,
    contract.APPROVED_RELEASE,
    contract.CERTIFICATE,
    contract.AUTHORITY,
    contract.ROTATE,
    f"{contract.REVOKED}*",
)


def document(federation: Federation, node: Node, role: Role) -> dict[str, Any]:
    """Return the policy document of a role in a node's account; the same federation gives the same document."""
    made = {"deployer": _deployer, "operator": _operator, "steward": _steward, "shell": _shell}[role]
    return policy(*made(federation, node))


def _deployer(federation: Federation, node: Node) -> list[Statement]:
    name, here = federation.name, f"{node.region}:{node.account}"
    through = {"ForAnyValue:StringEquals": {"aws:CalledVia": "cloudformation.amazonaws.com"}}
    in_region = {"StringEquals": {"aws:RequestedRegion": node.region}}
    roles = [f"arn:aws:iam::{node.account}:role/federate-{name}-*", f"arn:aws:iam::{node.account}:role/{name}-*"]
    bounded = _BOUNDED if node.permissions_boundary else frozenset()
    statements = [
        _allow("OwnStacks", "cloudformation", _STACKS, [f"arn:aws:cloudformation:{here}:stack/{name}-*/*"]),
        _allow("MadeByTheStacks", "ec2", _MADE_IN_EC2, ["*"], through | in_region),
        _allow("RolesByTheStacks", "iam", _but(_MADE_ROLES, bounded), roles, through),
        _allow(
            "ProfilesByTheStacks",
            "iam",
            _MADE_PROFILES,
            [f"arn:aws:iam::{node.account}:instance-profile/{name}-*"],
            through,
        ),
        allow(
            "PassToServices",
            ["iam:PassRole"],
            roles,
            {"StringEquals": {"iam:PassedToService": ["ec2.amazonaws.com", "vpc-flow-logs.amazonaws.com"]}},
        ),
        allow(
            "AwsOwnRoles",
            ["iam:CreateServiceLinkedRole"],
            [f"arn:aws:iam::{node.account}:role/aws-service-role/*"],
            {"StringEquals": {"iam:AWSServiceName": ["ec2-instance-connect.amazonaws.com", "spot.amazonaws.com"]}},
        ),
        _allow("LogGroups", "logs", _MADE_LOGS, _log_groups(node), through),
        allow("KeysByTheStacks", ["kms:CreateKey"], ["*"], through),
        _allow("OwnKey", "kms", _MADE_KEYS, [f"arn:aws:kms:{here}:key/*"], through | _tagged(federation, node)),
        _allow(
            "OwnAlias", "kms", _ALIASES, [f"arn:aws:kms:{here}:{node.key_alias}", f"arn:aws:kms:{here}:key/*"], through
        ),
        *_watched(node, through),
        # The default security group of the own VPC is emptied by the command itself: it closes, and opens nothing.
        _allow(
            "EmptyTheDefaultGroup",
            "ec2",
            "RevokeSecurityGroupEgress RevokeSecurityGroupIngress",
            [f"arn:aws:ec2:{here}:security-group/*"],
            in_region,
        ),
        allow("Audit", _AUDITED.split(), ["*"]),
    ]
    if bounded:
        only = {"StringEquals": {"iam:PermissionsBoundary": node.permissions_boundary}}
        statements.append(_allow("RolesWithTheirBoundary", "iam", " ".join(sorted(bounded)), roles, through | only))
    # An existing bucket is never made, changed or emptied.
    if node.spec.bucket is None:
        statements.append(_allow("BucketsByTheStacks", "s3", _MADE_BUCKETS, [_bucket(federation, node)], through))
    if node.spec.bucket is None and node.spec.on_destroy == "delete":
        arns = [_bucket(federation, node), *_objects(federation, node, "")]
        statements.append(_allow("EmptyTheBucketAtTheEnd", "s3", _EMPTIED_BUCKETS, arns))
    hub = nodes(federation)[0]
    if node.account != hub.account:
        peering = "CreateVpcPeeringConnection DeleteVpcPeeringConnection"
        peer = f"arn:aws:iam::{hub.account}:role/{accept_role_name(federation, node.id)}"
        statements.append(_allow("Peer", "ec2", peering, ["*"], through | in_region))
        statements.append(allow("HaveThePeeringAccepted", ["sts:AssumeRole"], [peer], through))
    return statements


def _watched(node: Node, through: Statement) -> list[Statement]:
    here, watch = f"{node.region}:{node.account}", node.watch_name
    return [
        _allow("OwnAlarms", "cloudwatch", _ALARMS, [f"arn:aws:cloudwatch:{here}:alarm:{watch}-*"], through),
        _allow(
            "OwnDashboard",
            "cloudwatch",
            _DASHBOARDS,
            [f"arn:aws:cloudwatch::{node.account}:dashboard/{watch}"],
            through,
        ),
        _allow("OwnTopic", "sns", _TOPICS, [f"arn:aws:sns:{here}:{watch}"], through),
    ]


def _operator(federation: Federation, node: Node) -> list[Statement]:
    own = f"arn:aws:ssm:{node.region}:{node.account}:parameter{node.parameter_prefix}"
    return [
        *_looks(federation, node),
        _allow("ReadParameters", "ssm", "GetParameter GetParameters GetParametersByPath", [own, f"{own}/*"]),
        _allow(
            "TellTheNode", "ssm", "PutParameter DeleteParameter DeleteParameters", [f"{own}/{each}" for each in _TOLD]
        ),
        _allow("ForgetWhatItSaid", "ssm", "DeleteParameters", [f"{own}/{contract.STATE}"]),
        allow(
            "ListWhatIsNotData",
            ["s3:ListBucket"],
            [_bucket(federation, node)],
            _listing(node, "run/", "releases/", "results/"),
        ),
        _allow("Supply", "s3", "GetObject PutObject", _objects(federation, node, "run/", "releases/")),
        allow("ReadResults", ["s3:GetObject"], _objects(federation, node, "results/")),
        _key(node),
        _allow("ReadLogs", "logs", "FilterLogEvents GetLogEvents DescribeLogStreams", _log_groups(node)),
    ]


def _steward(federation: Federation, node: Node) -> list[Statement]:
    return [
        *_looks(federation, node),
        allow("ListData", ["s3:ListBucket"], [_bucket(federation, node)], _listing(node, "data/")),
        # What is there already is known by the digest in its tag: nobody reads the rows again.
        _allow(
            "FillData",
            "s3",
            "GetObjectTagging PutObject PutObjectTagging DeleteObject AbortMultipartUpload",
            _objects(federation, node, "data/"),
        ),
        _key(node),
    ]


def _shell(federation: Federation, node: Node) -> list[Statement]:
    here = f"{node.region}:{node.account}"
    instances = f"arn:aws:ec2:{here}:instance/*"
    return [
        *_looks(federation, node),
        allow("WhichDocument", ["ssm:SendCommand"], [f"arn:aws:ssm:{node.region}::document/AWS-RunShellScript"]),
        allow(
            "OnTheNode",
            ["ssm:SendCommand"],
            [instances],
            {"StringEquals": {f"ssm:resourceTag/{key}": value for key, value in _marks(federation, node).items()}},
        ),
        # Neither has a resource: a command is known by its id alone.
        _allow("ItsCommands", "ssm", "GetCommandInvocation ListCommandInvocations CancelCommand", ["*"]),
        allow(
            "ShowAKey",
            ["ec2-instance-connect:SendSSHPublicKey"],
            [instances],
            {"StringEquals": {"ec2:osuser": "federate-operator"} | _tagged(federation, node)["StringEquals"]},
        ),
        allow(
            "OpenATunnel",
            ["ec2-instance-connect:OpenTunnel"],
            [f"arn:aws:ec2:{here}:instance-connect-endpoint/*"],
            {"NumericEquals": {"ec2-instance-connect:remotePort": "22"}} | _tagged(federation, node),
        ),
        allow("ReadHostKeys", ["ssm:GetParameter"], [f"arn:aws:ssm:{here}:parameter{node.parameter_prefix}/*"]),
    ]


def _looks(federation: Federation, node: Node) -> list[Statement]:
    """What every role needs that has to do with a running node: which one it is, and where its things are."""
    stacks = f"arn:aws:cloudformation:{node.region}:{node.account}:stack/{federation.name}-*/*"
    return [
        _allow("FindStacks", "cloudformation", "DescribeStacks ListStackResources DescribeStackEvents", [stacks]),
        _allow(
            "FindNode",
            "ec2",
            "DescribeInstances DescribeInstanceConnectEndpoints DescribeVpcPeeringConnections DescribeRouteTables",
            ["*"],
            {"StringEquals": {"aws:RequestedRegion": node.region}},
        ),
    ]


def _key(node: Node) -> Statement:
    """To use the account's key for what S3 stores, and for nothing else."""
    service = f"s3.{node.region}.amazonaws.com"
    return _allow(
        "ByWayOfS3",
        "kms",
        "Decrypt GenerateDataKey",
        [f"arn:aws:kms:{node.region}:{node.account}:key/*"],
        {
            "StringEquals": {"kms:ViaService": service},
            "ForAnyValue:StringEquals": {"kms:ResourceAliases": node.key_alias},
        },
    )


def _bucket(federation: Federation, node: Node) -> str:
    """Return the ARN of the node's bucket: the account's own, or one named after the stack."""
    if node.spec.bucket is not None:
        return f"arn:aws:s3:::{node.spec.bucket}"
    stack = "HubStorage" if node.role == "aggregator" else f"SiteStorage-{node.id}"
    return f"arn:aws:s3:::{stack_name(federation, stack).lower()[:_NAME_KEPT]}*"


def _objects(federation: Federation, node: Node, *prefixes: str) -> list[str]:
    return [f"{_bucket(federation, node)}/{node.bucket_prefix}{prefix}*" for prefix in prefixes]


def _listing(node: Node, *prefixes: str) -> Statement:
    return {"StringLike": {"s3:prefix": [f"{node.bucket_prefix}{prefix}*" for prefix in prefixes]}}


def _log_groups(node: Node) -> list[str]:
    own = f"arn:aws:logs:{node.region}:{node.account}:log-group:{node.log_group}"
    return [own, f"{own}:*", f"{own}/*"]


def _marks(federation: Federation, node: Node) -> dict[str, str]:
    return {"federate:federation": federation.name, "federate:node": node.id}


def _tagged(federation: Federation, node: Node) -> Statement:
    return {"StringEquals": {f"aws:ResourceTag/{key}": value for key, value in _marks(federation, node).items()}}


def _but(names: str, without: frozenset[str]) -> str:
    return " ".join(name for name in names.split() if name not in without)


def _allow(sid: str, service: str, names: str, resources: list[str], condition: Statement | None = None) -> Statement:
    return allow(sid, [f"{service}:{name}" for name in names.split()], resources, condition)
