"""A report says what the manifests say, in every form, and calls nothing a winning ticket that is none."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any
from xml.dom import minidom

import numpy as np
import pytest

from lth_core.spec import Submission
from tests.support.local_records import StoredSearch
from workers.reporting.html import page

Make = Callable[[StoredSearch, str], bytes]


def document_of(report: Make, search: StoredSearch) -> dict[str, Any]:
    return dict(json.loads(report(search, "json")))


def metrics_of(search: StoredSearch, treatment: str, level: int) -> list[dict[str, Any]]:
    return [search.manifest(search.lineage(treatment, r), level)["core"]["metrics"] for r in range(3)]


def test_every_figure_is_recomputed_from_the_manifests(digits_search: StoredSearch, report: Make) -> None:
    document = document_of(report, digits_search)
    for level in document["levels"]:
        for treatment, figures in level["treatments"].items():
            own = "winning_ticket" if treatment == "dense" else treatment
            metrics = metrics_of(digits_search, own, level["level"])
            assert figures["n"] == 3
            for figure in ("test_accuracy", "end_test_accuracy", "early_stop_step"):
                values = [one[figure] for one in metrics]
                assert figures[figure]["mean"] == pytest.approx(sum(values) / 3)
                assert (figures[figure]["min"], figures[figure]["max"]) == (min(values), max(values))


def test_paired_differences_and_their_bounds_are_students(digits_search: StoredSearch, report: Make) -> None:
    document = document_of(report, digits_search)
    dense = [one["test_accuracy"] for one in metrics_of(digits_search, "winning_ticket", 0)]
    for level in document["levels"][1:]:
        tickets = [one["test_accuracy"] for one in metrics_of(digits_search, "winning_ticket", level["level"])]
        differences = np.array(tickets) - np.array(dense)
        half = 2.920 * differences.std(ddof=1) / math.sqrt(3)
        found = level["paired"]["dense"]["accuracy_difference"]
        assert found["mean"] == pytest.approx(differences.mean())
        assert found["lower"] == pytest.approx(differences.mean() - half, abs=1e-4)
        assert found["upper"] == pytest.approx(differences.mean() + half, abs=1e-4)


def test_counts_layers_and_digests_are_those_of_the_manifests(digits_search: StoredSearch, report: Make) -> None:
    document = document_of(report, digits_search)
    assert document["counts"] == {"checked": 12, "mismatches": [], "reason": None}
    for level in document["levels"]:
        core = digits_search.manifest(digits_search.lineage("winning_ticket"), level["level"])["core"]
        assert level["kept"] == level["ladder"] == core["kept"]
        assert [layer["kept"]["max"] for layer in level["layers"]] == [layer["kept"] for layer in core["layers"]]
    masks = {(one["replicate"], one["level"]): one["mask_sha256"] for one in document["tickets"]}
    for (replicate, level), sha256 in masks.items():
        manifest = digits_search.manifest(digits_search.lineage("winning_ticket", replicate), level)
        assert sha256 == manifest["core"]["digests"]["mask"]
    assert len(masks) == 9
    assert sum(one["levels"] for one in document["environments"]) == 33


def test_the_body_asks_the_same_question_again(
    digits_search: StoredSearch, open_search: StoredSearch, report: Make
) -> None:
    for search in (digits_search, open_search):
        again = Submission.model_validate(document_of(report, search)["body"])
        spec = json.loads((search.folder / "searches" / "local" / search.id / "spec.json").read_bytes())
        assert again.spec == Submission.model_validate(spec["submission"]).spec


def test_the_statement_on_bounds_and_the_claim_are_in_every_written_form(
    digits_search: StoredSearch, report: Make
) -> None:
    document = document_of(report, digits_search)
    assert "one-sided" in document["statistics"]["statement"]
    assert "unadjusted" in document["statistics"]["statement"]
    for form in ("markdown", "html"):
        text = report(digits_search, form).decode()
        assert document["statistics"]["statement"].replace("'", "&#x27;" if form == "html" else "'") in text
        assert document["claim"]["sentence"] in text
        for name in ("certified", "initialisation matters", "lost", "not run"):
            assert name in text
        for level in document["levels"][1:]:
            assert level["verdicts"]["certified"] in text
            assert f"{level['treatments']['winning_ticket']['test_accuracy']['mean']:.4f}" in text


def test_a_trained_output_is_never_called_winning(trained_search: StoredSearch, report: Make) -> None:
    written = [report(trained_search, form).decode() for form in ("json", "markdown", "csv")]
    written.append(page(document_of(report, trained_search), {}))
    for text in written:
        assert "winning" not in text.lower()
    for text in (written[0], written[1], written[3]):
        assert "no level is a ticket at initialisation" in text


def test_verdicts_of_trained_outputs_are_of_their_own_kind(trained_search: StoredSearch, report: Make) -> None:
    document = document_of(report, trained_search)
    (setting,) = document["settings"]
    assert (setting["label"], setting["main_treatment"]) == ("trained", "trained_network")
    for level in document["levels"][1:]:
        assert "trained_matches" in level["verdicts"]
        assert "trained_network" in level["treatments"]
    assert "as accurate as dense" in report(trained_search, "markdown").decode()


def test_a_report_of_a_running_search_says_so(open_search: StoredSearch, report: Make) -> None:
    document = document_of(report, open_search)
    assert "still" in document["notice"]
    committed = f"{document['search']['levels_committed']} of {document['search']['levels_planned']} levels"
    assert committed in document["notice"]
    assert document["search"]["complete"] is False
    assert document["notice"] in report(open_search, "markdown").decode()
    assert document["notice"] in page(document, {})
    assert committed in report(open_search, "bibtex").decode()


def test_a_finished_search_has_no_notice(digits_search: StoredSearch, report: Make) -> None:
    assert document_of(report, digits_search)["notice"] is None


def test_the_csv_has_a_row_for_every_level_and_treatment(digits_search: StoredSearch, report: Make) -> None:
    document = document_of(report, digits_search)
    rows = list(csv.DictReader(io.StringIO(report(digits_search, "csv").decode(), newline="")))
    by_place = {(int(row["level"]), row["treatment"]): row for row in rows}
    assert len(by_place) == len(rows)
    for level in document["levels"]:
        for treatment, figures in level["treatments"].items():
            row = by_place[level["level"], treatment]
            assert float(row["test_accuracy_mean"]) == figures["test_accuracy"]["mean"]
            assert float(row["early_stop_step_max"]) == figures["early_stop_step"]["max"]
            assert float(row["density"]) == level["density"]
        if level["level"]:
            ticket = by_place[level["level"], "winning_ticket"]
            assert json.loads(ticket["verdicts"]) == level["verdicts"]
            lead = by_place[level["level"], "random_reinit"]["lead_accuracy"]
            assert float(lead) == level["paired"]["random_reinit"]["accuracy_difference"]["mean"]


ENTRY = re.compile(r"@(\w+)\{([\w-]+),\n((?:  \w+ = \{.*\},\n)+)\}")


def test_the_bibtex_parses_and_names_the_digests(digits_search: StoredSearch, report: Make) -> None:
    text = report(digits_search, "bibtex").decode()
    (misc, own, fields), (paper, _, about) = ENTRY.findall(text)
    assert (misc, paper) == ("misc", "inproceedings")
    assert own == f"lts{digits_search.id.removeprefix('srch_').lower()}"
    document = document_of(report, digits_search)
    for digest in document["digests"].values():
        assert digest in fields
    assert "1803.03635" in about
    for field in re.findall(r"= \{(.*)\},\n", fields + about):
        assert field.count("{") == field.count("}")


class _Page(HTMLParser):
    """Collects what a page holds, and whether its elements nest."""

    VOID = {"meta", "br", "link", "input"}

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)
        found = dict(attrs)
        self.ids += [value for name, value in attrs if name == "id" and value]
        self.references += [found[name] or "" for name in ("href", "xlink:href", "src") if name in found]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_in_itself(digits_search: StoredSearch, report: Make) -> None:
    text = report(digits_search, "html").decode()
    page = _Page()
    page.feed(text)
    assert page.open == []
    assert "script" not in page.tags
    assert page.tags.count("svg") == len(document_of(report, digits_search)["figures"])
    assert len(set(page.ids)) == len(page.ids)
    assert page.references
    assert all(one.startswith("#") for one in page.references)
    assert {one[1:] for one in page.references} <= set(page.ids)
    assert "prefers-color-scheme: dark" in text
    assert 'name="viewport"' in text


def test_markdown_tables_have_as_many_cells_as_their_heads(digits_search: StoredSearch, report: Make) -> None:
    lines = report(digits_search, "markdown").decode().splitlines()
    starts = [i for i, line in enumerate(lines) if line.startswith("|") and not lines[i - 1].startswith("|")]
    assert len(starts) >= 6
    for start in starts:
        width = len(re.split(r"(?<!\\)\|", lines[start]))
        for line in lines[start:]:
            if not line.startswith("|"):
                break
            assert len(re.split(r"(?<!\\)\|", line)) == width


def test_every_listed_figure_is_drawn(digits_search: StoredSearch, report: Make) -> None:
    figures = document_of(report, digits_search)["figures"]
    kinds = ["accuracy", "early-stop", "accuracy-end", "difference", "leads", "training", "layers", "initial-weights"]
    assert [figure["id"] for figure in figures] == kinds
    inside = re.findall(r"<svg.*?</svg>", report(digits_search, "html").decode(), flags=re.DOTALL)
    assert len(inside) == len(kinds)
    for svg in (*inside, report(digits_search, "figure-leads.svg")):
        assert minidom.parseString(svg).documentElement.tagName == "svg"  # noqa: S318 - our own bytes
        assert "date>" not in str(svg)
    png = report(digits_search, "figure-accuracy.png")
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    assert int.from_bytes(png[16:20], "big") > 800


@pytest.mark.parametrize("name", ["figure-leads.svg", "figure-accuracy.png", "json"])
def test_the_same_levels_give_the_same_bytes(
    digits_search: StoredSearch, report: Make, report_anew: Make, name: str
) -> None:
    assert report_anew(digits_search, name) == report(digits_search, name)


def test_a_grid_has_figures_per_setting_and_one_of_all(open_search: StoredSearch, report: Make) -> None:
    figures = document_of(report, open_search)["figures"]
    names = [figure["id"] for figure in figures]
    assert names[0] == "settings"
    assert "accuracy-s0" in names
    assert b"<svg" in report(open_search, "figure-settings.svg")
    assert b"<svg" in report(open_search, "figure-accuracy-s0.svg")


def test_what_is_no_report_is_refused_by_name(digits_search: StoredSearch, report: Make) -> None:
    with pytest.raises(ValueError, match="a report is one of json"):
        report(digits_search, "pdf")
    with pytest.raises(ValueError, match="the figures of this search are accuracy"):
        report(digits_search, "figure-ablation.svg")
