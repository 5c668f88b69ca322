"""Lineages, levels, curves, tickets, catalog: what was written is what is shown."""

from __future__ import annotations

import csv
import io

from tests.contract.api.conftest import Api, World


def test_lineages_and_levels_show_what_was_committed(keyed: Api, world: World) -> None:
    seeded = world.searches["alice"]
    own = f"/v1/searches/{seeded.id}/lineages"
    lineages = keyed.get(own)["data"]
    assert [one["treatment"] for one in lineages] == ["winning_ticket", "random_reinit", "random_mask", "shuffled_mask"]
    assert all(one["status"] == "succeeded" for one in lineages)
    chain = seeded.lineages["winning_ticket"]
    assert keyed.get(f"{own}/{chain}") == lineages[0]
    levels = keyed.get(f"{own}/{chain}/levels")["data"]
    assert [level["level"] for level in levels] == [0, 1, 2, 3]
    core = seeded.manifest("winning_ticket", 2)["core"]
    third = keyed.get(f"{own}/{chain}/levels/2")
    assert (third["kept"], third["density"], third["mask_sha256"]) == (
        core["kept"],
        core["density"],
        core["digests"]["mask"],
    )
    assert third["ticket"] == seeded.tickets["winning_ticket", 2]
    for number in ("4", "-1", "01", "x", "999"):
        assert keyed.send("GET", f"{own}/{chain}/levels/{number}").json()["code"] == "not_found"


def test_lineages_and_levels_are_paged_and_filtered(keyed: Api, world: World) -> None:
    seeded = world.searches["alice"]
    own = f"/v1/searches/{seeded.id}/lineages"
    assert len(keyed.get(f"{own}?treatment=random_mask")["data"]) == 1
    assert keyed.get(f"{own}?replicate=1")["data"] == []
    page = keyed.get(f"{own}?limit=3")
    rest = keyed.get(f"{own}?limit=3&after={page['next_after']}")
    assert (len(page["data"]), len(rest["data"]), rest["has_more"]) == (3, 1, False)
    levels = f"{own}/{seeded.lineages['winning_ticket']}/levels"
    page = keyed.get(f"{levels}?limit=3")
    rest = keyed.get(f"{levels}?limit=3&after={page['next_after']}")
    assert [level["level"] for level in page["data"] + rest["data"]] == [0, 1, 2, 3]
    assert keyed.send("GET", f"{own}?after={page['next_after']}").json()["code"] == "bad_cursor"


def test_curves_hold_a_row_per_committed_level_as_json_and_csv(keyed: Api, world: World) -> None:
    seeded = world.searches["alice"]
    curves = keyed.get(f"/v1/searches/{seeded.id}/curves")
    assert [len(series["points"]) for series in curves["series"]] == [4, 3, 3, 3]
    table = keyed.send("GET", f"/v1/searches/{seeded.id}/curves", Accept="text/csv")
    assert table.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(table.body.decode())))
    assert len(rows) == 13
    metrics = seeded.manifest("winning_ticket", 2)["core"]["metrics"]
    row = next(row for row in rows if row["treatment"] == "winning_ticket" and row["level"] == "2")
    assert float(row["test_accuracy"]) == metrics["test_accuracy"]
    assert keyed.send("GET", f"/v1/searches/{seeded.id}/curves?format=csv").body == table.body


def test_tickets_are_found_by_what_they_are_worth(keyed: Api, world: World) -> None:
    seeded = world.searches["alice"]
    everything = keyed.get(f"/v1/tickets?search={seeded.id}&limit=200")["data"]
    assert len(everything) == 12
    winning = keyed.get("/v1/tickets?verdict=paper_point")["data"]
    assert [one["id"] for one in winning] == [seeded.tickets["winning_ticket", 2]]
    sparse = keyed.get("/v1/tickets?max_density=0.3&treatment=winning_ticket&sort=density")["data"]
    assert sparse
    assert all(one["density"] <= 0.3 for one in sparse)
    assert keyed.get("/v1/tickets?min_accuracy=1.0")["data"] == [
        one for one in keyed.get("/v1/tickets?limit=200")["data"] if one["test_accuracy"] == 1.0
    ]
    assert keyed.get("/v1/tickets?model=conv_2")["data"] == []
    assert keyed.get("/v1/tickets?verdict=trained_matches")["data"] == []
    called = [one for one in everything if one["label"] == "winning"]
    assert 0 < len(called) < len(everything)
    assert keyed.get(f"/v1/tickets?output=winning&search={seeded.id}&limit=200")["data"] == called
    assert keyed.get("/v1/tickets?output=trained")["data"] == []


def test_a_treatment_is_named_by_its_label(keyed: Api, world: World) -> None:
    own = f"/v1/searches/{world.searches['alice'].id}/lineages"
    for label in ("noise%5Bsigma=3.0%5D", "noise[sigma=1e-05]", "signed_constant%5Brescaled%5D", "reuse"):
        assert keyed.get(f"{own}?treatment={label}")["data"] == []
        assert keyed.get(f"/v1/tickets?treatment={label}")["data"] == []
    for label in ("Noise", "noise[", "noise%5B%5D", "noise[sigma=3.0]x", "noise[a b]"):
        answer = keyed.send("GET", f"{own}?treatment={label.replace(' ', '%20')}")
        assert (answer.status, answer.json()["code"]) == (422, "bad_filter"), label


def test_the_best_ticket_of_an_ended_search_is_named(keyed: Api, world: World) -> None:
    seeded = world.searches["alice"]
    best = keyed.get(f"/v1/searches/{seeded.id}")["best"]
    assert best["id"] == seeded.tickets["winning_ticket", 2]


def test_catalog_presets_and_datasets_are_shown_and_cached(api: Api) -> None:
    for path in ("/v1/catalog", "/v1/presets", "/v1/presets/lenet-digits", "/v1/datasets", "/v1/datasets/digits"):
        answer = api.send("GET", path)
        assert answer.status == 200, path
        assert api.send("GET", path, If_None_Match=answer.headers["etag"]).status == 304
    assert api.get("/v1/datasets/digits")["num_test"] == 360
    for path in ("/v1/presets/nothing", "/v1/datasets/nothing", "/v1/datasets/NOTHING", "/v1/datasets/%00"):
        assert api.send("GET", path).json()["code"] == "not_found"


def test_the_catalog_names_what_can_be_derived_and_every_part(api: Api) -> None:
    catalog = api.get("/v1/catalog")
    assert "barrier" in catalog["analyses"]["search"]
    assert "barrier" not in catalog["analyses"]["ticket"]
    assert catalog["reports"] == ["json", "markdown", "html", "csv", "bibtex"]
    assert {"train", "prune", "rewind", "treatment", "model", "init"} <= set(catalog["schemas"])
    names = {one["name"] for one in catalog["choices"]["method"] if one["supported"]}
    assert {"imp", "one_shot", "snip", "transfer"} <= names


def test_every_preset_is_shown_whole_and_counted(api: Api) -> None:
    for head in api.get("/v1/presets")["data"]:
        spec = api.get(head["url"])["spec"]
        assert (spec["model"]["name"], spec["dataset"]["name"]) == (head["model"], head["dataset"])
        assert head["levels"] >= head["lineages"] > 0


def test_a_preset_can_be_posted_as_it_is(api: Api) -> None:
    preset = api.get("/v1/presets/lenet-digits")
    assert api.send("POST", "/v1/searches?validate_only=true", preset).status == 200


def test_the_caller_is_told_who_he_is_and_what_he_may(api: Api, keyed: Api, world: World) -> None:
    assert api.get("/v1/me")["tenant"] == "local"
    me = keyed.having(world.keys["reader"]).get("/v1/me")
    assert (me["tenant"], me["scopes"]) == ("alice", ["read"])
    assert world.keys["reader"] not in str(me)
    assert keyed.get("/v1/quota")["limits"]["lineages_per_search"] == 256


def test_the_service_tells_of_itself(api: Api) -> None:
    assert api.get("/healthz") == {"status": "ok"}
    assert api.get("/readyz") == {"status": "ok", "redis": True, "store": True}
    assert api.get("/version")["api"] == "v1"
    kind = api.send("GET", "/v1/nothing").json()["type"]
    assert api.get(kind)["code"] == "not_found"
    assert api.send("GET", "/problems/nothing").status == 404


def test_there_are_no_trailing_slash_twins_and_405_names_the_methods(api: Api) -> None:
    assert api.send("GET", "/v1/searches/").status == 404
    answer = api.send("PUT", "/v1/searches", {})
    assert (answer.status, answer.headers["allow"]) == (405, "GET, POST")
    assert api.send("DELETE", "/v1/tickets/tkt_1/mask").headers["allow"] == "GET, HEAD"
    assert api.send("GET", "/admin/v1/keys").status == 404
