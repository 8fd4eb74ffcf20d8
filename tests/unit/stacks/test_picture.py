"""The picture shows what the templates say, and the one in the documentation is the example's."""

from __future__ import annotations

import copy
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

from infra.deployment.picture import as_svg, read

DOCUMENTED = Path(__file__).parents[3] / "docs" / "images" / "architecture.svg"


def _drawn(assembly: Any) -> str:
    return as_svg("eicu", read(assembly.folder, assembly.plan))


def _texts(svg: str) -> list[str]:
    return ["".join(node.itertext()) for node in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


def test_the_documented_picture_is_the_examples(example: Any) -> None:
    assert DOCUMENTED.read_text("utf-8") == _drawn(example), "federate picture -o docs/images/architecture.svg"


def test_a_card_says_who_is_admitted_and_who_is_dialled(example: Any) -> None:
    hub, first, _ = read(example.folder, example.plan)
    assert hub.admits == (
        "22 from own Instance Connect Endpoint",
        "8890 from hospital-a",
        "8890 from hospital-b",
    )
    assert hub.dials == ()
    assert first.dials == ("10.30.0.10:8890",)
    assert first.admits == ("22 from own Instance Connect Endpoint",)
    assert (hub.accepts, first.accepts) == (2, 0)


def test_a_way_to_the_internet_is_shown(data: Any, synth: Any) -> None:
    changed = copy.deepcopy(data)
    changed["participants"][0]["internet"] = "nat"
    texts = _texts(_drawn(synth(changed)))
    assert sum("NAT gateway to the internet" in text for text in texts) == 1
    assert "0.0.0.0/0:443" in read(synth(changed).folder, synth(changed).plan)[1].dials


def test_many_sites_are_not_drawn_one_by_one(data: Any, synth: Any) -> None:
    template = data["participants"][0]
    data["participants"] = [
        template | {"id": f"s{n}", "account": f"{100000000000 + n}", "cidr": f"10.{40 + n}.0.0/16", "profile": f"p{n}"}
        for n in range(9)
    ]
    svg = _drawn(synth(data))
    assert len(re.findall('class="stream"', svg)) == 6
    assert "and 3 more, each alike" in _texts(svg)
