"""`lth report` and `lth analysis` against a real HTTP server: what is printed, and what is written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from service.cli.analyses import flat
from service.cli.main import app
from tests.support.scripted_service import Asked, Says, ScriptedService, problem, scripted_service
from tests.support.service_documents import SEARCH, TICKET, tell_everything

ROOT = f"/v1/searches/{SEARCH}"
REPORT = {"object": "report", "figures": [{"id": "accuracy", "title": "Accuracy"}, {"id": "early-stop", "title": "j"}]}
ANALYSIS = {
    "object": "analysis",
    "name": "overlap",
    "subject": SEARCH,
    "search": {"id": SEARCH},
    "definitions": {"jaccard": "|A & B| / |A | B|"},
    "references": [],
    "evaluated_on": "test",
    "across_replicates": [
        {
            "level": 2,
            "density": 0.64,
            "mean": {
                "total": {"jaccard": {"n": 3, "mean": 0.5123, "min": 0.5, "max": 0.52}},
                "layers": [{"name": "a"}],
            },
            "chance": {"jaccard": None},
            "stable": True,
        }
    ],
    "warnings": ["one replicate: nothing is certified"],
    "skipped": [{"level": 3, "reason": "not kept"}],
}


def reports(asked: Asked) -> Says:
    form = asked.query.removeprefix("format=")
    return Says(document=REPORT) if form == "json" else Says(body=f"the report as {form}".encode())


@pytest.fixture
def service() -> Iterator[ScriptedService]:
    with scripted_service() as one:
        tell_everything(one)
        one.on("GET", f"{ROOT}/report", reports)
        for name in ("accuracy", "early-stop"):
            for kind in ("svg", "png"):
                one.on("GET", f"{ROOT}/report/figures/{name}.{kind}", Says(body=f"{name} {kind}".encode()))
        one.on("GET", f"{ROOT}/analysis/overlap", Says(202, {}, headers={"Retry-After": "0"}), Says(document=ANALYSIS))
        one.on("GET", f"/v1/tickets/{TICKET}/analysis/signs", Says(document=ANALYSIS | {"name": "signs"}))
        yield one


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LTH_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("LTH_URL", raising=False)


def lth(*words: str, url: str) -> Result:
    return CliRunner().invoke(app, [*words, "--url", url])


def test_a_report_is_printed_as_markdown_or_as_asked(service: ScriptedService) -> None:
    assert lth("report", SEARCH, url=service.url).stdout == "the report as markdown\n"
    assert lth("report", SEARCH, "--format", "bibtex", url=service.url).stdout == "the report as bibtex\n"
    assert json.loads(lth("report", SEARCH, "--json", url=service.url).stdout) == REPORT
    assert lth("report", SEARCH, "--format", "pdf", url=service.url).exit_code == 2


def test_every_form_and_figure_is_written_beside_the_others(service: ScriptedService, tmp_path: Path) -> None:
    folder = tmp_path / "paper" / "lenet"
    result = lth("report", SEARCH, "-o", str(folder), url=service.url)
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in folder.iterdir()) == [
        "figure-accuracy.png",
        "figure-accuracy.svg",
        "figure-early-stop.png",
        "figure-early-stop.svg",
        "report.bib",
        "report.csv",
        "report.html",
        "report.json",
        "report.md",
    ]
    assert (folder / "figure-early-stop.png").read_bytes() == b"early-stop png"
    assert (folder / "report.html").read_text() == "the report as html"


def test_one_form_alone_is_written_without_figures(service: ScriptedService, tmp_path: Path) -> None:
    words = ["report", SEARCH, "-o", str(tmp_path / "out"), "--format", "csv", "--json"]
    answer = json.loads(lth(*words, url=service.url).stdout)
    assert answer["files"] == [str(tmp_path / "out" / "report.csv")]


def test_an_analysis_is_waited_for_and_shown_as_tables(service: ScriptedService) -> None:
    result = lth("analysis", SEARCH, "overlap", url=service.url)
    assert result.exit_code == 0, result.output
    for word in ("across replicates", "0.5123", "0.64", "yes", "evaluated_on: test", "nothing is certified", "|A & B|"):
        assert word in result.stdout, word
    assert "layers" not in result.stdout
    assert "level 3: not kept" in result.stderr
    assert len(service.asked_for("GET", f"{ROOT}/analysis/overlap")) == 2


def test_an_analysis_of_a_ticket_is_asked_of_the_ticket(service: ScriptedService) -> None:
    answer = json.loads(lth("analysis", TICKET, "signs", "--json", url=service.url).stdout)
    assert answer["name"] == "signs"


def test_an_analysis_that_is_not_possible_exits_2_with_the_reason(service: ScriptedService) -> None:
    service.on("GET", f"{ROOT}/analysis/instability", problem(409, "not_possible", "no treatment `reordered`"))
    result = lth("analysis", SEARCH, "instability", url=service.url)
    assert result.exit_code == 2
    assert "reordered" in result.stderr


def test_nested_values_become_columns_and_spreads_their_mean() -> None:
    row = {"a": 1, "b": {"c": {"mean": 2.0, "min": 1.0, "max": 3.0, "n": 2}, "d": None}, "e": [1, 2]}
    assert flat(row) == {"a": 1, "b.c": 2.0, "b.d": None}
