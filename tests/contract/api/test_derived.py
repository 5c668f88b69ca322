"""Analyses and reports: files with tags that hold, in the form that was asked for, that cannot act in a browser."""

from __future__ import annotations

import hashlib

import pytest

from tests.contract.api.conftest import Api, World

FORMS = {
    "json": "application/json",
    "html": "text/html",
    "markdown": "text/markdown",
    "csv": "text/csv",
    "bibtex": "application/x-bibtex",
}
ANALYSES = ["overlap", "signs", "distributions", "layer_densities", "movement", "instability"]


@pytest.fixture
def search(world: World) -> str:
    """The path of alice's ended search."""
    return f"/v1/searches/{world.searches['alice'].id}"


@pytest.fixture
def ticket(world: World) -> str:
    """The path of its best ticket."""
    return f"/v1/tickets/{world.searches['alice'].tickets['winning_ticket', 2]}"


@pytest.mark.parametrize("name", [*ANALYSES, "barrier", "verdict"])
def test_every_analysis_of_a_search_is_json(keyed: Api, search: str, name: str) -> None:
    answer = keyed.send("GET", f"{search}/analysis/{name}")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json() == {"name": name, "object": "analysis", "subject": search.rpartition("/")[2]}
    assert answer.headers["vary"] == "Accept"
    assert "immutable" in answer.headers["cache-control"]


@pytest.mark.parametrize("name", ANALYSES)
def test_every_analysis_of_a_ticket_is_json(keyed: Api, ticket: str, name: str) -> None:
    made = {"name": name, "object": "analysis", "subject": ticket.rpartition("/")[2]}
    assert keyed.get(f"{ticket}/analysis/{name}") == made


def test_a_report_comes_in_the_form_of_format_or_accept(keyed: Api, search: str) -> None:
    for form, media_type in FORMS.items():
        by_format = keyed.send("GET", f"{search}/report?format={form}", Accept="image/png")
        by_accept = keyed.send("GET", f"{search}/report", Accept=media_type)
        assert by_format.status == 200
        assert by_format.body == by_accept.body
        assert form in by_format.body.decode()
        assert search.rpartition("/")[2] in by_format.body.decode()
        assert by_accept.headers["content-type"].split(";")[0] == media_type
        assert by_accept.headers["vary"] == "Accept"
    browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    assert keyed.send("GET", f"{search}/report", Accept=browser).headers["content-type"].startswith("text/html")
    assert keyed.send("GET", f"{search}/report").headers["content-type"] == "application/json"


def test_a_report_is_in_utf_8_and_is_named(keyed: Api, search: str) -> None:
    html = keyed.send("GET", f"{search}/report?format=html").headers
    assert html["content-type"] == "text/html; charset=utf-8"
    assert html["content-disposition"] == f'inline; filename="{search.rpartition("/")[2]}.html"'
    bib = keyed.send("GET", f"{search}/report?format=bibtex").headers
    assert bib["content-disposition"] == f'attachment; filename="{search.rpartition("/")[2]}.bib"'


@pytest.mark.parametrize("path", ["report?format=html", "report/figures/accuracy.svg"])
def test_what_a_browser_shows_runs_no_script_and_has_no_rights_here(keyed: Api, search: str, path: str) -> None:
    headers = keyed.send("GET", f"{search}/{path}").headers
    policy = {part.split()[0]: part.split()[1:] for part in headers["content-security-policy"].split(";")}
    assert policy["default-src"] == ["'none'"]
    assert "script-src" not in policy
    assert policy["sandbox"] == []
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("form", ["svg", "png"])
def test_a_figure_is_served_in_both_forms(keyed: Api, search: str, form: str) -> None:
    answer = keyed.send("GET", f"{search}/report/figures/accuracy.{form}")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("image/")
    assert answer.body == f"figure-accuracy.{form} of {search.rpartition('/')[2]}".encode()


@pytest.mark.parametrize("path", ["analysis/overlap", "report?format=csv", "report/figures/accuracy.svg"])
def test_tags_hold_and_head_ranges_and_304_are_as_for_any_file(keyed: Api, search: str, path: str) -> None:
    whole = keyed.send("GET", f"{search}/{path}")
    assert whole.headers["etag"] == f'"sha256-{hashlib.sha256(whole.body).hexdigest()}"'
    head = keyed.send("HEAD", f"{search}/{path}")
    assert (head.status, head.body, head.headers["etag"]) == (200, b"", whole.headers["etag"])
    assert int(head.headers["content-length"]) == len(whole.body)
    again = keyed.send("GET", f"{search}/{path}", If_None_Match=whole.headers["etag"])
    assert (again.status, again.body) == (304, b"")
    assert keyed.send("GET", f"{search}/{path}", Range="bytes=0-4").body == whole.body[:5]


def test_what_does_not_exist_is_404(keyed: Api, search: str, ticket: str, world: World) -> None:
    unknown = keyed.send("GET", f"{search}/analysis/locality")
    assert (unknown.status, unknown.json()["code"]) == (404, "not_found")
    assert "overlap" in unknown.json()["detail"]
    assert keyed.send("GET", f"{ticket}/analysis/barrier").status == 404
    for figure in ("accuracy", "accuracy.gif", ".svg", "A.svg"):
        assert keyed.send("GET", f"{search}/report/figures/{figure}").status in (404, 406)
    bob = keyed.having(world.keys["bob"])
    for path in ("analysis/overlap", "report", "report/figures/accuracy.svg"):
        assert bob.send("GET", f"{search}/{path}").status == 404
    assert bob.send("GET", f"{ticket}/analysis/overlap").status == 404


def test_a_form_that_does_not_exist_is_refused(keyed: Api, search: str) -> None:
    assert keyed.send("GET", f"{search}/report?format=pdf").json()["code"] == "bad_filter"
    assert keyed.send("GET", f"{search}/report", Accept="application/pdf").status == 406
    assert keyed.send("GET", f"{search}/report/figures/accuracy.svg", Accept="image/png").status == 406
    assert keyed.send("GET", f"{search}/analysis/overlap", Accept="text/csv").status == 406


@pytest.mark.parametrize("path", ["report?format=html", "analysis/overlap", "report/figures/accuracy.png"])
def test_what_no_worker_has_made_yet_is_asked_for_again_later(keyed: Api, world: World, path: str) -> None:
    running = f"/v1/searches/{world.searches['open'].id}"
    head = keyed.send("HEAD", f"{running}/{path}")
    assert head.status == 202
    assert int(head.headers["retry-after"]) > 0
    assert head.headers["vary"] == "Accept"
    assert "etag" not in head.headers
    assert "immutable" not in head.headers["cache-control"]
