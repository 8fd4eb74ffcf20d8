"""Where images are built: a VPC of its own with a way to the internet, connected to no other, and open to nobody."""

from __future__ import annotations

from aws_cdk import aws_ec2 as ec2
from constructs import Construct

_ANYWHERE = "0.0.0.0/0"
#: Packages come over HTTPS; Ubuntu's archive is signed, and spoken to in plain HTTP.
_PORTS = {443: "HTTPS: Python packages, AWS's services", 80: "HTTP: Ubuntu's signed archive"}


class BuildNetwork(Construct):
    """One public subnet behind an internet gateway; its group lets connections out to two ports, and none in.

    A public address costs less than a NAT gateway and is as closed: what nobody may open is not reached from outside.

    Args:
        scope: the stack.
        id_: construct id.
        cidr: the VPC's range, all of which is the subnet's.
    """

    def __init__(self, scope: Construct, id_: str, *, cidr: str) -> None:
        super().__init__(scope, id_)
        vpc = ec2.CfnVPC(self, "Vpc", cidr_block=cidr, enable_dns_support=True, enable_dns_hostnames=True)
        gateway = ec2.CfnInternetGateway(self, "InternetGateway")
        attachment = ec2.CfnVPCGatewayAttachment(
            self, "InternetGatewayAttachment", vpc_id=vpc.ref, internet_gateway_id=gateway.ref
        )
        self.subnet = ec2.CfnSubnet(self, "Subnet", vpc_id=vpc.ref, cidr_block=cidr, map_public_ip_on_launch=True)
        table = ec2.CfnRouteTable(self, "RouteTable", vpc_id=vpc.ref)
        ec2.CfnSubnetRouteTableAssociation(self, "SubnetRoutes", subnet_id=self.subnet.ref, route_table_id=table.ref)
        out = ec2.CfnRoute(
            self, "RouteToInternet", route_table_id=table.ref, destination_cidr_block=_ANYWHERE, gateway_id=gateway.ref
        )
        out.add_resource_dependency(attachment)  # the gateway must be attached, and the route names only the gateway
        self.group = ec2.CfnSecurityGroup(
            self,
            "BuildSecurityGroup",
            vpc_id=vpc.ref,
            group_description="An instance whose image is being made: out to two ports, and nobody in",
            security_group_egress=[
                ec2.CfnSecurityGroup.EgressProperty(
                    ip_protocol="tcp", from_port=port, to_port=port, cidr_ip=_ANYWHERE, description=why
                )
                for port, why in _PORTS.items()
            ],
        )
