"""The resource types that loopback AWS implements, one file per service; any other type is refused."""

from infra.local.aws.resources.base import Handler


def handlers() -> dict[str, Handler]:
    """Return every implemented resource type by name."""
    from infra.local.aws.resources import (
        cdk,
        cloudwatch,
        ec2_endpoints,
        ec2_instances,
        ec2_interfaces,
        ec2_internet,
        ec2_network,
        ec2_peering,
        ec2_security_groups,
        ec2_volumes,
        ecr,
        iam,
        kms,
        logs,
        s3,
        secretsmanager,
        sns,
        ssm,
    )

    modules = (
        cdk,
        cloudwatch,
        ec2_endpoints,
        ec2_instances,
        ec2_interfaces,
        ec2_internet,
        ec2_network,
        ec2_peering,
        ec2_security_groups,
        ec2_volumes,
        ecr,
        iam,
        kms,
        logs,
        s3,
        secretsmanager,
        sns,
        ssm,
    )
    return {handler.type: handler for module in modules for handler in module.HANDLERS}


__all__ = ["handlers"]
