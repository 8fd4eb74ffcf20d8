"""The reachability report: what can be opened, measured in the twin, beside what the federation's model intends.

This is what a hospital's security officer asks for: not what was configured, but what opens.
"""

from infra.local.twin.network.figure import as_svg
from infra.local.twin.network.intent import SSH, Edge, NotAsIntended, Report, Row, compare, intended
from infra.local.twin.network.matrix import Matrix, Measured, Place
from infra.local.twin.network.measuring import measure
from infra.local.twin.network.report import as_json, as_markdown, as_text, summary

__all__ = [
    "SSH",
    "Edge",
    "Matrix",
    "Measured",
    "NotAsIntended",
    "Place",
    "Report",
    "Row",
    "as_json",
    "as_markdown",
    "as_svg",
    "as_text",
    "compare",
    "intended",
    "measure",
    "summary",
]
