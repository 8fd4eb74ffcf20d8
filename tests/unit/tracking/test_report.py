"""The report: self-contained, complete, honest about what it shows, and the same bytes for the same files."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from matplotlib import colors

from fl_app.tracking import palette
from fl_app.tracking.__main__ import main
from fl_app.tracking.report import render
from fl_app.tracking.results import Compared, Metrics, Results, read_results

from .conftest import comparison

Write = Callable[..., Path]
VOID = {"meta", "br", "img", "input", "hr", "link", "path", "use", "rect"}


class Page(HTMLParser):
    """Collects tags and attributes, and holds that every tag that opens is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.attributes: list[tuple[str, str, str]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


def page(folder: Path, title: str = "Federation eicu") -> str:
    return render(read_results(folder), title)


def test_the_page_refers_to_nothing_outside_itself(results_folder: Write) -> None:
    text = page(results_folder())
    for tag, name, value in Page(text).attributes:
        if name in ("src", "href", "xlink:href", "action", "srcset", "data"):
            assert value.startswith("#"), (tag, name, value)
    assert "<script" not in text
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)
    assert "default-src 'none'" in text


def test_every_tag_is_closed_and_no_id_is_there_twice(results_folder: Write) -> None:
    parsed = Page(page(results_folder()))
    assert parsed.open == []
    ids = [value for _, name, value in parsed.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    used = {value[1:] for _, name, value in parsed.attributes if name in ("href", "xlink:href")}
    assert used <= set(ids)


def test_both_figures_are_there_and_in_words_too(results_folder: Write) -> None:
    parsed = Page(page(results_folder()))
    words = [value for tag, name, value in parsed.attributes if (tag, name) == ("div", "aria-label")]
    assert any("AUROC from 0.500 to 0.700" in text for text in words)
    assert any("on hospital-a: federated AUROC 0.700" in text for text in words)


def test_colours_follow_the_reader_and_not_the_drawing(results_folder: Write) -> None:
    text = page(results_folder())
    drawings = "".join(re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL))
    assert "var(--federation)" in drawings
    assert not re.findall(r"#[0-9a-f]{6}\b", drawings)


def test_the_headline_is_the_comparison_on_all_sites_data(results_folder: Write) -> None:
    text = page(results_folder())
    assert "the federated model reaches AUROC 0.700" in text
    assert "hospital-a 0.700, hospital-b 0.700" in text


def test_without_a_comparison_the_headline_is_the_last_round_and_the_lack_is_said(results_folder: Write) -> None:
    text = page(results_folder(comparison=None))
    assert "After 3 rounds the federated model reaches AUROC 0.700" in text
    assert "comparison.json is missing" in text
    assert "pooled" not in text.split("</style>")[1]


@pytest.mark.parametrize(
    ("source", "word"), [("synthetic", "Synthetic data."), ("demo (lab rebuilt)", "Rebuilt tables.")]
)
def test_synthetic_and_rebuilt_data_are_called_so(results_folder: Write, source: str, word: str) -> None:
    assert word in page(results_folder(comparison=comparison(source)))


def test_negative_control_real_data_are_called_neither(results_folder: Write) -> None:
    text = page(results_folder(comparison=comparison("eicu")))
    assert "Synthetic" not in text
    assert "Rebuilt" not in text


def test_what_is_undefined_is_a_dash_with_its_reason_and_never_a_number(results_folder: Write) -> None:
    one_class = comparison(auroc=None, auprc=None, undefined="only one outcome is present")
    text = page(results_folder(comparison=one_class))
    assert "undefined (only one outcome is present)" in text
    assert "No AUROC of the federated model" not in text  # the rounds have one
    assert ">nan<" not in text


def test_text_from_files_is_shown_and_not_obeyed(results_folder: Write) -> None:
    hostile = comparison("<script>alert(1)</script>")
    for row in hostile["rows"]:
        row["model"] = row["model"].replace("hospital-a", "<b>&amp;$x$")
        row["tested_on"] = row["tested_on"].replace("hospital-a", "<b>&amp;$x$")
    text = page(results_folder(comparison=hostile), title="<img src=x> $title")
    assert "<script" not in text
    assert "<img" not in text
    assert "<b>" not in text
    assert Page(text).open == []


def test_the_same_files_give_the_same_page_and_picture(results_folder: Write) -> None:
    folder = results_folder()
    main(["report", "--results", str(folder)])
    first = [(folder / name).read_bytes() for name in ("report.html", "figure.png")]
    main(["report", "--results", str(folder)])
    assert [(folder / name).read_bytes() for name in ("report.html", "figure.png")] == first


def test_the_command_prints_what_it_wrote_and_keeps_the_comparison_table_that_is_there(
    results_folder: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = results_folder()
    (folder / "comparison.csv").write_text("of its writer")
    assert main(["report", "--results", str(folder)]) == 0
    assert [Path(path).name for path in capsys.readouterr().out.split()] == ["report.html", "figure.png", "rounds.csv"]
    assert (folder / "comparison.csv").read_text() == "of its writer"


def test_a_folder_without_results_is_an_error_without_a_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", "--results", str(tmp_path)]) == 2
    assert "holds no results" in capsys.readouterr().err


def test_a_hundred_sites_fit_into_the_figures() -> None:
    sites = [f"site-{number}" for number in range(100)]
    models = ["federated", *(f"local {site}" for site in sites), "pooled"]
    rows = tuple(Compared(model, site, Metrics(0.5, 0.7, 0.3), 40, 10) for site in sites[:10] for model in models)
    text = render(Results((), rows, {}, {}, {}, "eicu"), "Many")
    assert text.count("site-3 alone</text>") == 1  # above four sites, a local-only model is drawn on its own data only


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio. Source: WCAG 2.2, relative luminance and contrast ratio."""

    def luminance(colour: str) -> float:
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colors.to_rgb(colour)]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_colours_can_be_told_from_the_ground(theme: str) -> None:
    ground, panel = getattr(palette.GROUND, theme), getattr(palette.PANEL, theme)
    for text in (palette.INK, palette.MUTED, palette.FEDERATION):  # WCAG 2.2, 1.4.3: text
        assert contrast(getattr(text, theme), ground) >= 4.5, text
        assert contrast(getattr(text, theme), panel) >= 4.5, text
    assert contrast(getattr(palette.CAUTION, theme), getattr(palette.CAUTION_GROUND, theme)) >= 4.5
    for line in (*palette.SITES, palette.FEDERATION, palette.TOGETHER):  # WCAG 2.2, 1.4.11: graphics
        assert contrast(getattr(line, theme), ground) >= 3, line
