"""How the values of a federation fit together."""

from __future__ import annotations

import pytest

from infra.errors import Severity
from infra.federation import checks, registry
from infra.federation.model import NO_PROFILE, Federation

INSTALLED = {
    registry.DATASETS: ("eicu",),
    registry.MODELS: ("logistic_regression", "mlp"),
    registry.AGGREGATIONS: ("fedavg",),
}


def test_the_example_has_no_findings(federation):
    assert checks.check(federation, INSTALLED) == []


# --- who is who -------------------------------------------------------------------------------------------------


def test_an_id_stands_for_one_site(problems, data):
    data["participants"][1]["id"] = "hospital-a"
    assert "the id of another site as well (participants[0])" in problems(data)["participants[1].id"].found


def test_the_aggregators_id_is_taken(problems, data):
    data["participants"][1]["id"] = "aggregator"
    assert "aggregator's own id" in problems(data)["participants[1].id"].found


def test_an_account_is_one_sites_own(problems, data):
    data["participants"][1]["account"] = "333333333333"
    problem = problems(data)["participants[1].account"]
    assert problem.found == "333333333333 is the account of aggregator as well."
    assert "single_account: true" in problem.remedy


def test_one_account_for_all_must_be_said(problems, notices, data):
    for block in (data["aggregator"], *data["participants"]):
        block["account"] = "111111111111"
    assert set(problems(data)) == {"participants[0].account", "participants[1].account"}
    data["single_account"] = True
    assert problems(data) == {}
    assert notices(data) == {}


def test_single_account_with_several_accounts_is_warned_of(notices, data):
    data["single_account"] = True
    assert "yet there are 3 accounts" in notices(data)["single_account"].found


def test_one_profile_for_two_accounts_is_warned_of(notices, data):
    data["participants"][1]["profile"] = "aggregator"
    assert notices(data)["participants[1].profile"].severity is Severity.WARNING


def test_a_site_that_is_operated_here_needs_a_profile(problems, data):
    del data["participants"][1]["profile"]
    problem = problems(data)["participants[1].profile"]
    assert problem.found == "is missing."
    assert "operated_by: site" in problem.remedy


def test_a_site_that_its_own_admin_operates_needs_none(problems, notices, data):
    del data["participants"][1]["profile"]
    data["participants"][1]["operated_by"] = "site"
    assert problems(data) == {}
    assert notices(data) == {}


def test_a_profile_that_is_never_used_is_warned_of(notices, data):
    data["participants"][1]["operated_by"] = "site"
    assert notices(data)["participants[1].profile"].severity is Severity.WARNING


def test_no_profile_may_have_the_name_that_stands_for_none(problems, data):
    data["aggregator"]["profile"] = NO_PROFILE
    assert problems(data)["aggregator.profile"].found == "is missing."


def test_an_id_that_ends_with_anothers_is_pointed_out(notices, data):
    data["participants"][1]["id"] = "north-hospital-a"
    assert "'Site*-hospital-a'" in notices(data)["participants[1].id"].remedy


# --- the network ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cidr", "named", "free"),
    [
        ("10.30.0.0/16", "aggregator (10.30.0.0/16)", "10.31.0.0/16"),
        ("10.30.128.0/17", "aggregator (10.30.0.0/16)", "10.31.0.0/17"),
        ("10.10.0.0/26", "hospital-a (10.10.0.0/16)", "10.11.0.0/26"),
    ],
)
def test_ranges_may_not_overlap_and_the_next_free_one_is_named(problems, data, cidr, named, free):
    data["participants"][1]["cidr"] = cidr
    problem = problems(data)["participants[1].cidr"]
    assert problem.found == f"{cidr} overlaps {named}."
    assert problem.remedy == f"Free here: {free}."


def test_two_that_overlap_are_not_sent_to_the_same_free_range(problems, data, site):
    data["participants"] += [site(41) | {"cidr": "10.10.0.0/16"}, site(42) | {"cidr": "10.10.0.0/16"}]
    found = problems(data)
    assert found["participants[2].cidr"].remedy == "Free here: 10.11.0.0/16."
    assert found["participants[3].cidr"].remedy == "Free here: 10.12.0.0/16."


@pytest.mark.parametrize(("cidr", "fits"), [("10.10.0.0/23", True), ("10.10.0.0/24", False), ("10.10.0.0/26", False)])
def test_a_nat_gateway_has_room_beside_the_nodes_subnet(problems, data, cidr, fits):
    data["participants"][0]["cidr"] = cidr
    data["participants"][0]["internet"] = "nat"
    found = [problem.found for problem in problems(data).values()]
    assert found == ([] if fits else [f"{cidr} has no room for the NAT gateway's subnet beside the node's."])


def test_dockers_own_range_is_warned_of(notices, data):
    data["aggregator"]["cidr"] = "172.17.0.0/20"
    assert "Rather take 172.18.0.0/20." in notices(data)["aggregator.cidr"].remedy


def test_a_site_in_another_region_is_fine_with_an_image_there(problems, data):
    data["participants"][0]["region"] = "eu-central-1"
    data["images"]["eu-central-1"] = "ami-0123456789abcdef0"
    assert problems(data) == {}


def test_a_region_without_an_image_is_one_problem_for_all_its_nodes(problems, data):
    for site in data["participants"]:
        site["region"] = "eu-central-1"
    (problem,) = problems(data).values()
    assert problem.found == "there is no machine image for hospital-a, hospital-b in eu-central-1."
    assert "eu-central-1: ami-" in problem.remedy


def test_a_zone_lies_in_the_nodes_region(problems, data):
    data["participants"][0]["availability_zone"] = "us-west-2b"
    problem = problems(data)["participants[0].availability_zone"]
    assert problem.found == "us-west-2b is not in the node's Region, us-east-1."
    assert problem.remedy.startswith("Write b,")


@pytest.mark.parametrize("zone", ["b", "us-east-1b"])
def test_a_zone_may_be_a_letter_or_a_full_name(problems, data, zone):
    data["participants"][0]["availability_zone"] = zone
    assert problems(data) == {}


def test_a_region_that_is_not_known_is_warned_of_because_aws_adds_some(notices, data):
    data["region"] = "us-esat-1"
    data["images"]["us-esat-1"] = data["images"].pop("us-east-1")
    assert notices(data)["region"].remedy == "Did you mean us-east-1?"


def test_nothing_is_peered_across_partitions(problems, data):
    data["participants"][0] |= {"region": "cn-north-1", "image": "ami-0123456789abcdef0"}
    assert "another AWS partition" in problems(data)["participants[0].region"].found


# --- the machines -----------------------------------------------------------------------------------------------


def test_an_unknown_instance_type_is_met_with_the_nearest(problems, data):
    data["aggregator"]["instance_type"] = "g4dn.xlrge"
    problem = problems(data)["aggregator.instance_type"]
    assert problem.remedy == "Did you mean g4dn.xlarge?"
    assert "g4dn.12xlarge" in problem.allowed


@pytest.mark.parametrize(
    "type_",
    [
        "t3.medium",
        "m5.large",
        "m7i.large",
        "c7g.xlarge",
        "r6i.large",
        "g4dn.xlarge",
        "g5.12xlarge",
        "g6e.xlarge",
        "gr6.4xlarge",
        "g5g.xlarge",
        "p3.2xlarge",
        "p4d.24xlarge",
        "p4de.24xlarge",
        "p5.48xlarge",
        "p5e.48xlarge",
        "p5en.48xlarge",
        "inf2.xlarge",
        "trn1.2xlarge",
        "g4ad.xlarge",
    ],
)
def test_common_instance_types_are_known(problems, data, type_):
    data["aggregator"] |= {"instance_type": type_, "image": "ami-0123456789abcdef0"}  # one of its own architecture
    assert problems(data) == {}


@pytest.mark.parametrize(
    ("type_", "mapping", "found"),
    [
        ("g4dn.xlarge", [0, 1], "speaks of 2 GPUs, but g4dn.xlarge has 1 that CUDA can use (NVIDIA T4)."),
        ("g5.12xlarge", [0, 0, 0, 0, 1], "speaks of 5 GPUs, but g5.12xlarge has 4 that CUDA can use (NVIDIA A10G)."),
        ("m6i.large", [1], "speaks of 1 GPUs, but m6i.large has none."),
        ("g4ad.xlarge", [1], "speaks of 1 GPUs, but g4ad.xlarge has 0 that CUDA can use (AMD Radeon Pro V520)."),
        ("g5.12xlarge", [1, 1], "asks for 2 worker processes."),
    ],
)
def test_a_gpu_mapping_fits_the_machine(problems, data, type_, mapping, found):
    data["aggregator"] |= {"instance_type": type_, "gpu_mapping": mapping}
    assert problems(data)["aggregator.gpu_mapping"].found == found


@pytest.mark.parametrize("mapping", [[1], [0, 0, 0, 1], [0, 1]])
def test_any_one_gpu_of_the_machine_may_be_chosen(problems, data, mapping):
    data["aggregator"] |= {"instance_type": "g5.12xlarge", "gpu_mapping": mapping}
    assert problems(data) == {}


def test_an_idle_gpu_is_pointed_out(notices, data):
    data["aggregator"]["gpu_mapping"] = []
    assert "leaves the NVIDIA T4 of g4dn.xlarge idle" in notices(data)["aggregator.gpu_mapping"].found


# --- the sites --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sites", "severity"), [(50, None), (51, Severity.WARNING), (125, Severity.WARNING), (126, Severity.ERROR)]
)
def test_one_vpc_is_peered_with_50_sites_and_with_125_at_most(data, site, sites, severity):
    data["aggregator"]["cidr"] = "172.16.0.0/16"
    data["participants"] = [site(number) for number in range(1, sites + 1)]
    findings = checks.check(Federation.model_validate(data), INSTALLED)
    assert [(finding.path, finding.severity) for finding in findings] == (
        [(("participants",), severity)] if severity else []
    )


def test_a_hospital_belongs_to_one_site(problems, data):
    data["participants"][0]["data"] = {"hospitals": [73, 167]}
    data["participants"][1]["data"] = {"hospitals": [264, 73, 264]}
    found = problems(data)
    assert found["participants[1].data.hospitals[1]"].found == "hospital 73 is at hospital-a as well."
    assert found["participants[1].data.hospitals[2]"].found == "hospital 264 is twice here."


def test_a_site_that_names_hospitals_names_one_at_least(problems, data):
    data["participants"][0]["data"] = {"hospitals": []}
    assert "names no hospital" in problems(data)["participants[0].data.hospitals"].found


def test_the_rule_for_sites_that_name_no_hospitals_is_told(notices, data):
    data["participants"][0]["data"] = {"hospitals": [73]}
    assert notices(data)["participants"].found == "hospital-b name no hospitals, other sites do."


def test_hospitals_mean_nothing_to_another_data_set(federation, data):
    data["training"]["dataset"] = "flowers"
    data["participants"][0]["data"] = {"hospitals": [73]}
    findings = checks.check(Federation.model_validate(data), INSTALLED | {registry.DATASETS: ("flowers",)})
    assert [finding.severity for finding in findings] == [Severity.WARNING]


def test_that_destroy_takes_a_hospitals_data_is_pointed_out(notices, data):
    data["participants"][0]["on_destroy"] = "delete"
    assert "its data with them" in notices(data)["participants[0].on_destroy"].found


# --- the training -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("key", "near"), [("dataset", "eicu"), ("model", "mlp"), ("aggregation", "fedavg")])
def test_a_plugin_that_is_not_installed_is_met_with_what_is(data, key, near):
    data["training"][key] = near + "x"
    (finding,) = checks.check(Federation.model_validate(data), INSTALLED)
    assert finding.path == ("training", key)
    assert near in finding.allowed
    assert finding.remedy == f"Did you mean {near}?"


def test_an_aggregation_that_nothing_resembles_names_the_group_to_install_it_in(data):
    data["training"]["aggregation"] = "krum"
    (finding,) = checks.check(Federation.model_validate(data), INSTALLED)
    assert finding.remedy == "Install the package that gives it to federate.aggregations."


@pytest.mark.parametrize(("quorum", "wrong"), [(1, False), (2, False), (3, True)])
def test_the_quorum_is_not_above_the_number_of_sites(problems, data, quorum, wrong):
    data["policy"] = {"quorum": quorum}
    assert ("policy.quorum" in problems(data)) is wrong


def test_a_deadline_without_a_quorum_is_warned_of(notices, data):
    data["policy"] = {"round_deadline_seconds": 60}
    assert "changes nothing" in notices(data)["policy.round_deadline_seconds"].found
    data["policy"]["quorum"] = 1
    assert notices(data) == {}


@pytest.mark.parametrize(("fraction", "wrong"), [(0.5, True), (0.51, False), (1, False)])
def test_the_quorum_is_not_above_the_number_of_sites_that_are_asked(problems, data, fraction, wrong):
    data["policy"] = {"quorum": 2, "selection": {"method": "data_size", "fraction": fraction}}
    found = problems(data)
    assert ("policy.quorum" in found) is wrong
    if wrong:
        assert found["policy.quorum"].found == "2 is more than the 1 sites that are asked in a round."


def test_a_fraction_without_a_method_is_warned_of(notices, data):
    data["policy"] = {"selection": {"fraction": 0.5}}
    assert "changes nothing" in notices(data)["policy.selection.fraction"].found
    data["policy"] = {"selection": "all"}
    assert notices(data) == {}


@pytest.mark.parametrize("value", ["adaptiv", 0, -3, True, None, float("inf"), "soon"])
def test_what_is_no_deadline_is_said_once_with_what_is_one(problems, data, value):
    data["policy"] = {"quorum": 1, "round_deadline_seconds": value}
    found = problems(data)
    assert list(found) == ["policy.round_deadline_seconds"]
    assert found["policy.round_deadline_seconds"].allowed == "Seconds, more than 0, or one of adaptive, none."
    assert ("adaptive?" in found["policy.round_deadline_seconds"].remedy) is (value == "adaptiv")


@pytest.mark.parametrize("value", ["adaptive", "none", 5, 0.5, "600"])
def test_seconds_and_two_words_are_deadlines(problems, data, value):
    data["policy"] = {"quorum": 1, "round_deadline_seconds": value}
    assert problems(data) == {}
