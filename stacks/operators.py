"""The least that a person needs in a node's account, by what they do there; documents for an account's admin to attach.

Five roles, because they should not be one: who deploys makes and deletes resources, and reads nothing; who operates
starts, stops and reads what nodes say, and cannot read a patient's row; who fills ``data/`` reads and writes just that;
a shell on a node, as root, is a way to everything that the node can read; and who makes machine images touches no node.
Nothing here imports CDK.
"""

from __future__ import annotations

from typing import Any, Final, Literal, get_args

from infra.federation.derive import Node, accept_role_name, authority_secret, nodes, stack_name
from infra.federation.model import Federation
from node_bootstrap import contract
from stacks import image_builders, made
from stacks.made import allow_each as _allow
from stacks.permissions import Statement, allow, policy

Role = Literal["deployer", "operator", "steward", "shell", "builder"]
ROLES: Final[tuple[Role, ...]] = get_args(Role)

#: What each role is for, in a sentence.
PURPOSES: Final[dict[Role, str]] = {
    "deployer": "deploys, changes and destroys the stacks; reads no data, no parameter and no log",
    "operator": "supplies releases and run files, starts, stops, watches; reads results, never data/",
    "steward": "fills data/ of the account's bucket, and nothing else",
    "shell": "a shell or a command on the node, which is root there: to be given for the hour in which it is needed",
    "builder": "makes machine images and says which accounts may launch them; touches no node",
}

_MADE_IN_EC2 = (
    "AllocateAddress AssociateRouteTable AttachInternetGateway AttachVolume AuthorizeSecurityGroup* "
    "CreateFlowLogs CreateInstanceConnectEndpoint CreateInternetGateway "
    "CreateLaunchTemplate* CreateNatGateway CreateNetworkInterface CreateRoute "
    "CreateRouteTable CreateSecurityGroup CreateSubnet CreateTags CreateVolume CreateVpc CreateVpcEndpoint "
    "DeleteFlowLogs DeleteInstanceConnectEndpoint DeleteInternetGateway DeleteLaunchTemplate DeleteNatGateway "
    "DeleteNetworkInterface DeleteRoute DeleteRouteTable DeleteSecurityGroup DeleteSubnet DeleteTags DeleteVolume "
    "DeleteVpc DeleteVpcEndpoints DetachInternetGateway DetachVolume DisassociateRouteTable ModifyInstanceAttribute "
    "ModifyInstanceMetadataOptions ModifyNetworkInterfaceAttribute ModifySubnetAttribute ModifyVolume "
    "ModifyVpcAttribute ModifyVpcEndpoint MonitorInstances ReleaseAddress ReplaceIamInstanceProfileAssociation "
    "ReplaceRoute RevokeSecurityGroup* RunInstances StartInstances StopInstances TerminateInstances UnmonitorInstances "
    "UpdateSecurityGroupRuleDescriptions*"
)
_PEERING = " CreateVpcPeeringConnection DeleteVpcPeeringConnection"
_LOOKED_AT = "GetBucketPolicy GetBucketPublicAccessBlock GetBucketVersioning GetEncryptionConfiguration"
_MADE_KEYS = (
    "DisableKeyRotation EnableKeyRotation GetKeyPolicy GetKeyRotationStatus PutKeyPolicy "
    "ScheduleKeyDeletion TagResource UntagResource UpdateKeyDescription"
)
_ALIASES = "CreateAlias DeleteAlias UpdateAlias"
#: What deploy, preflight and the audit after destroy ask by themselves: what there is, and never what is in it.
_AUDITED = (
    "cloudformation:DescribeAccountLimits cloudformation:DescribeStacks cloudformation:ListStacks "
    "cloudwatch:DescribeAlarms cloudwatch:ListDashboards ec2:Describe* ec2:GetEbsDefaultKmsKeyId "
    "ec2:GetEbsEncryptionByDefault iam:ListInstanceProfiles iam:ListRoles kms:ListAliases kms:ListKeys "
    "logs:DescribeLogGroups s3:ListAllMyBuckets secretsmanager:ListSecrets servicequotas:GetAWSDefaultServiceQuota "
    "servicequotas:GetServiceQuota sns:ListTopics ssm:DescribeParameters"
)
#: What EC2 asks KMS in the name of who has an encrypted volume made.
#: Source: Amazon EBS User Guide, "Permissions for IAM users".
_VOLUMES = "CreateGrant Decrypt DescribeKey GenerateDataKeyWithoutPlaintext ReEncryptFrom ReEncryptTo"
#: What is made to watch a node.
_ALARMS = "DeleteAlarms PutMetricAlarm TagResource UntagResource"
_DASHBOARDS = "DeleteDashboards PutDashboard"
_TOPICS = (
    "CreateTopic DeleteTopic GetTopicAttributes ListSubscriptionsByTopic SetTopicAttributes "
    "Subscribe TagResource Unsubscribe UntagResource"
)
#: To put a file into data/ with its digest as a tag, and to take it out.
_FILLING = "AbortMultipartUpload DeleteObject GetObjectTagging PutObject PutObjectTagging"
#: What an operator writes for a node; all else in its parameters is the node's to publish.
_TOLD = (
    contract.DESIRED,
    contract.APPROVED_RELEASE,
    contract.CERTIFICATE,
    contract.AUTHORITY,
    contract.ROTATE,
    f"{contract.REVOKED}*",
)


def roles_in(node: Node) -> tuple[Role, ...]:
    """Return the roles that there are in a node's account: images are made in the aggregator's alone."""
    return tuple(role for role in ROLES if role != "builder" or node.role == "aggregator")


def document(federation: Federation, node: Node, role: Role) -> dict[str, Any]:
    """Return the policy document of a role in a node's account; the same federation gives the same document.

    Args:
        federation: the node's.
        node: in whose account.
        role: one of :func:`roles_in`.
    """
    statements = {
        "deployer": _deployer,
        "operator": _operator,
        "steward": _steward,
        "shell": _shell,
        "builder": image_builders.statements,
    }[role]
    return policy(*statements(federation, node))


def _deployer(federation: Federation, node: Node) -> list[Statement]:
    here = f"{node.region}:{node.account}"
    through = {"ForAnyValue:StringEquals": {"aws:CalledVia": "cloudformation.amazonaws.com"}}
    in_region = {"StringEquals": {"aws:RequestedRegion": node.region}}
    hub = nodes(federation)[0]
    # Those that have a name of their own, and the flow log's, which CloudFormation names after the stack.
    accepting = [accept_role_name(federation, "*")] if node.role == "aggregator" else []
    named = [node.role_name, *accepting, _named_after(federation, node, "Network")]
    roles = [f"arn:aws:iam::{node.account}:role/{each}" for each in named]
    is_site = node.account != hub.account
    bounded = made.BOUNDED if node.permissions_boundary else frozenset()
    statements = [
        _allow("OwnStacks", "cloudformation", made.STACKS, _stacks(federation, node)),
        _allow("MadeByTheStacks", "ec2", f"{_MADE_IN_EC2}{_PEERING if is_site else ''}", ["*"], through | in_region),
        _allow(
            "RolesByTheStacks",
            "iam",
            f"{made.but(made.ROLES, bounded)} {made.PROFILES}",
            [*roles, f"arn:aws:iam::{node.account}:instance-profile/{_named_after(federation, node, 'Node')}"],
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
        _allow("LogGroups", "logs", made.LOGS, _log_groups(node), through),
        # Neither has a resource: a flow log is delivered by the service, for whom EC2 asks.
        _allow("FlowLogs", "logs", "CreateLogDelivery DeleteLogDelivery", ["*"], through),
        # A log group that was retained is taken over by the command itself: CloudFormation imports it as it is.
        allow("TakeOverALog", ["logs:AssociateKmsKey"], _log_groups(node)),
        *_made_key(federation, node, through),
        _watched(node, through),
        # A mounted volume cannot be detached: before its stack goes, the node is ended.
        _allow(
            "EndTheNode",
            "ec2",
            "TerminateInstances",
            [f"arn:aws:ec2:{here}:instance/*"],
            _tagged(federation, node),
        ),
        # The default security group of the own VPC is emptied by the command itself: it closes, and opens nothing.
        _allow(
            "EmptyTheDefaultGroup",
            "ec2",
            "RevokeSecurityGroup*",
            [f"arn:aws:ec2:{here}:security-group/*"],
            in_region,
        ),
        allow("Audit", _AUDITED.split(), ["*"]),
        _whose(federation, node),
    ]
    if bounded:
        only = {"StringEquals": {"iam:PermissionsBoundary": node.permissions_boundary}}
        statements.append(_allow("RolesWithTheirBoundary", "iam", " ".join(sorted(bounded)), roles, through | only))
    # An existing bucket is never made, changed or emptied: the preflight looks how it is kept.
    if node.spec.bucket is not None:
        statements.append(_allow("LookAtTheOwnBucket", "s3", _LOOKED_AT, [_bucket(federation, node)]))
    if node.spec.bucket is None:
        statements.append(_allow("BucketsByTheStacks", "s3", made.BUCKETS, [_bucket(federation, node)], through))
    if node.spec.bucket is None and node.spec.on_destroy == "delete":
        arns = [_bucket(federation, node), *_objects(federation, node, "")]
        statements.append(_allow("EmptyTheBucketAtTheEnd", "s3", made.EMPTIED_BUCKETS, arns))
    if is_site:
        peer = f"arn:aws:iam::{hub.account}:role/{accept_role_name(federation, node.id)}"
        statements.append(allow("HaveThePeeringAccepted", ["sts:AssumeRole"], [peer], through))
    return statements


def _made_key(federation: Federation, node: Node, through: Statement) -> list[Statement]:
    """The account's key, where the stacks make it, and its use for the volumes that the stacks make."""
    here, named = f"{node.region}:{node.account}", node.spec.kms_key
    by_ec2 = {"StringEquals": {"kms:ViaService": f"ec2.{node.region}.amazonaws.com"}}
    if named is not None:
        looked = allow("LookAtTheOwnKey", ["kms:GetKeyPolicy"], [named])
        return [_allow("EncryptVolumes", "kms", _VOLUMES, [named], by_ec2), looked]
    keys, own = [f"arn:aws:kms:{here}:key/*"], _tagged(federation, node)
    return [
        allow("KeysByTheStacks", ["kms:CreateKey"], ["*"], through),
        # A key is tagged as it is made, and has none of its tags before.
        allow("TagOwnKey", ["kms:TagResource"], keys, through | {"StringEquals": _requested(federation, node)}),
        _allow("OwnKey", "kms", _MADE_KEYS, keys, through | own),
        _allow("OwnAlias", "kms", _ALIASES, [f"arn:aws:kms:{here}:{node.key_alias}", *keys], through),
        _allow("EncryptVolumes", "kms", _VOLUMES, keys, {"StringEquals": own["StringEquals"] | by_ec2["StringEquals"]}),
    ]


def _whose(federation: Federation, node: Node) -> Statement:
    """By which tags the audit finds whose a resource is; each action knows only the resources of its service."""
    here, begins = f"{node.region}:{node.account}", f"federate-{federation.name}-*"
    told = (
        "cloudwatch:GetDashboard cloudwatch:ListTagsForResource iam:ListRoleTags kms:DescribeKey kms:ListResourceTags "
        "s3:GetBucketTagging sns:ListTagsForResource"
    )
    resources = [
        f"arn:aws:cloudwatch:{here}:alarm:{begins}",
        f"arn:aws:cloudwatch::{node.account}:dashboard/{begins}",
        f"arn:aws:iam::{node.account}:role/{begins}",
        f"arn:aws:kms:{here}:key/*",
        f"arn:aws:s3:::{federation.name}-*",
        f"arn:aws:sns:{here}:{begins}",
    ]
    return allow("WhoseItIs", told.split(), resources)


def _watched(node: Node, through: Statement) -> Statement:
    here, watch = f"{node.region}:{node.account}", node.watch_name
    actions = [f"cloudwatch:{each}" for each in f"{_ALARMS} {_DASHBOARDS}".split()]
    actions += [f"sns:{each}" for each in _TOPICS.split()]
    resources = [
        f"arn:aws:cloudwatch:{here}:alarm:{watch}-*",
        f"arn:aws:cloudwatch::{node.account}:dashboard/{watch}",
        f"arn:aws:sns:{here}:{watch}",
    ]
    return allow("OwnWatch", actions, resources, through)


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
        *_never_within(federation, node, "GetObject PutObject", ("data/",), ("run/", "releases/", "results/")),
        _key(node),
        _allow("ReadLogs", "logs", "FilterLogEvents GetLogEvents DescribeLogStreams", _log_groups(node)),
        # Alarms are looked for by name, which is no resource.
        allow("ReadAlarms", ["cloudwatch:DescribeAlarms"], ["*"]),
        allow(
            "WhyItIsSilent",
            ["ec2:GetConsoleOutput"],
            [f"arn:aws:ec2:{node.region}:{node.account}:instance/*"],
            _tagged(federation, node),
        ),
        *(_coordinator(federation, node) if node.role == "aggregator" else ()),
    ]


def _coordinator(federation: Federation, hub: Node) -> list[Statement]:
    """What joins a site that is operated elsewhere, and what keeps the authority safe; in the hub's account alone."""
    secret = f"arn:aws:secretsmanager:{hub.region}:{hub.account}:secret:{authority_secret(federation.name)}-*"
    return [
        allow(
            "WhoMayAskForAPeering",
            ["iam:GetRole"],
            [f"arn:aws:iam::{hub.account}:role/{accept_role_name(federation, '*')}"],
        ),
        _allow(
            "KeepTheAuthority", "secretsmanager", "CreateSecret GetSecretValue PutSecretValue TagResource", [secret]
        ),
    ]


def _steward(federation: Federation, node: Node) -> list[Statement]:
    return [
        *_looks(federation, node),
        allow("ListData", ["s3:ListBucket"], [_bucket(federation, node)], _listing(node, "data/")),
        # What is there already is known by the digest in its tag: its content is the node's alone to read.
        _allow("FillData", "s3", _FILLING, _objects(federation, node, "data/")),
        *_never_within(federation, node, _FILLING, ("run/", "releases/", "results/"), ("data/",)),
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
    looking = "DescribeStacks ListStackResources DescribeStackEvents"
    return [
        _allow("FindStacks", "cloudformation", looking, _stacks(federation, node)),
        _allow(
            "FindNode",
            "ec2",
            "DescribeInstances DescribeInstanceStatus DescribeInstanceConnectEndpoints DescribeVpcPeeringConnections "
            "DescribeRouteTables",
            ["*"],
            {"StringEquals": {"aws:RequestedRegion": node.region}},
        ),
    ]


def _key(node: Node) -> Statement:
    """To use the account's key for what S3 stores, and for nothing else."""
    by_s3 = {"StringEquals": {"kms:ViaService": f"s3.{node.region}.amazonaws.com"}}
    # The key's id is known only where the file names it; one that the stacks make has the node's alias.
    own, whose = node.spec.kms_key, {"ForAnyValue:StringEquals": {"kms:ResourceAliases": node.key_alias}}
    keys = own or f"arn:aws:kms:{node.region}:{node.account}:key/*"
    return _allow("ByWayOfS3", "kms", "Decrypt GenerateDataKey", [keys], by_s3 if own else by_s3 | whose)


def _bucket(federation: Federation, node: Node) -> str:
    """Return the ARN of the node's bucket: the account's own, or one named after the stack."""
    if node.spec.bucket is not None:
        return f"arn:aws:s3:::{node.spec.bucket}"
    return f"arn:aws:s3:::{_named_after(federation, node, 'Storage').lower()}"


def _named_after(federation: Federation, node: Node, part: str) -> str:
    """Return the pattern of what CloudFormation names after a node's stack."""
    return f"{stack_name(federation, _stack_id(node, part))[: made.NAME_KEPT]}*"


def _stacks(federation: Federation, node: Node) -> list[str]:
    """Return the ARNs of a node's stacks; the hub has a link for each site."""
    parts = ["Storage", "Network", "Node"]
    ids = [_stack_id(node, part) for part in parts] + (["HubLink-*"] if node.role == "aggregator" else [])
    here = f"{node.region}:{node.account}"
    return [f"arn:aws:cloudformation:{here}:stack/{stack_name(federation, id_)}/*" for id_ in ids]


def _stack_id(node: Node, part: str) -> str:
    return f"Hub{part}" if node.role == "aggregator" else f"Site{part}-{node.id}"


def _objects(federation: Federation, node: Node, *prefixes: str) -> list[str]:
    return [f"{_bucket(federation, node)}/{node.bucket_prefix}{prefix}*" for prefix in prefixes]


def _never_within(
    federation: Federation, node: Node, names: str, outer: tuple[str, ...], inner: tuple[str, ...]
) -> list[Statement]:
    """Deny what the pattern of a bucket's name admits by accident: ``*`` reaches over ``/``, into other folders.

    ``name-*/run/*`` is the object ``data/run/x`` as well. A bucket that the file names has no pattern.
    """
    if node.spec.bucket is not None:
        return []
    prefixes = [f"{folder}{between}{name}" for folder in outer for name in inner for between in ("", "*/")]
    return [{**_allow("InNoOtherFolder", "s3", names, _objects(federation, node, *prefixes)), "Effect": "Deny"}]


def _listing(node: Node, *prefixes: str) -> Statement:
    return {"StringLike": {"s3:prefix": [f"{node.bucket_prefix}{prefix}*" for prefix in prefixes]}}


def _log_groups(node: Node) -> list[str]:
    own = f"arn:aws:logs:{node.region}:{node.account}:log-group:{node.log_group}"
    return [own, f"{own}:*", f"{own}/*"]


def _marks(federation: Federation, node: Node) -> dict[str, str]:
    return {"federate:federation": federation.name, "federate:node": node.id}


def _tagged(federation: Federation, node: Node) -> Statement:
    return {"StringEquals": {f"aws:ResourceTag/{key}": value for key, value in _marks(federation, node).items()}}


def _requested(federation: Federation, node: Node) -> Statement:
    return {f"aws:RequestTag/{key}": value for key, value in _marks(federation, node).items()}
