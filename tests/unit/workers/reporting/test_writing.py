"""What a client wrote into a search cannot break a report, and failures and odd counts are told."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.local_records import StoredSearch
from workers.reporting.bibtex import bibtex
from workers.reporting.html import page
from workers.reporting.inline_svg import inline_svg
from workers.reporting.markdown import markdown

Make = Callable[[StoredSearch, str], bytes]
NASTY = "<script>alert(1)</script> | `x` & \\end {y}"


@pytest.fixture
def document(digits_search: StoredSearch, report: Make) -> dict[str, Any]:
    return dict(json.loads(report(digits_search, "json")))


def test_a_name_that_is_markup_stays_text(document: dict[str, Any]) -> None:
    document["search"].update(name=NASTY, note=NASTY)
    document.update(notice=NASTY, warnings=[NASTY])
    document["claim"]["sentence"] = NASTY
    document["levels"][1]["verdicts"]["certified"] = NASTY
    text = page(document, {})
    assert "<script>" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    prose = re.sub(r"```.*?```", "", markdown(document), flags=re.DOTALL)
    assert "\\<script\\>alert(1)" in prose
    assert "<script>" not in prose
    entry = bibtex(document).split("\n")[1]
    assert entry.count("{") - entry.count("\\{") == entry.count("}") - entry.count("\\}")


def test_lineages_that_failed_are_told_with_their_reason(document: dict[str, Any]) -> None:
    failed = {
        "lineage": "lin_X",
        "setting": 0,
        "treatment": "random_reinit",
        "replicate": 2,
        "repeat": 0,
        "status": "failed",
        "reason": "nonfinite",
        "levels_done": 1,
        "levels_planned": 3,
        "error": {"class": "nonfinite", "message": "loss is nan at step 7", "level": 2, "step": 7},
    }
    document["lineages"]["ended_early"] = [failed]
    for text in (markdown(document), page(document, {})):
        assert "training diverged: a loss or a weight was not finite: loss is nan at step 7" in text
        assert "1 of 3" in text


def test_counts_off_the_ladder_are_told(document: dict[str, Any]) -> None:
    row = {"setting": 0, "replicate": 1, "level": 2, "kept": 400, "expected": 401}
    document["counts"] = {"checked": 12, "mismatches": [row], "reason": None}
    assert "1 levels keep another number of weights than the ladder says" in markdown(document)
    assert "| 0 | 1 | 2 | 400 | 401 |" in markdown(document)


def test_two_environments_are_told(document: dict[str, Any]) -> None:
    other = {**document["environments"][0], "fingerprint_sha256": "f" * 64, "levels": 1}
    document["environments"].append(other)
    assert "more than one environment" in markdown(document)


def test_an_inlined_figure_follows_the_page_and_shares_no_id_with_another() -> None:
    svg = (
        b'<?xml version="1.0"?>\n<!DOCTYPE svg>\n<svg width="400pt" height="200pt" viewBox="0 0 400 200">'
        b'<metadata>made</metadata><defs><path id="g"/></defs><use href="#g" clip-path="url(#c)"/>'
        b'<path id="c" style="fill: #1f2328; stroke: #d8dee4"/></svg>'
    )
    text = inline_svg(svg, "leads", 'A "title"')
    assert text.startswith("<svg")
    assert 'id="leads-g"' in text
    assert 'href="#leads-g"' in text
    assert "url(#leads-c)" in text
    assert "fill: var(--ink); stroke: var(--grid)" in text
    assert "made" not in text
    assert 'aria-label="A &quot;title&quot;"' in text
    assert "pt" not in text.split(">")[0].split("viewBox")[0]
