"""Searches through dispatcher, driver, Tune and engine, on a machine with room for one engine."""

from __future__ import annotations

import json
from typing import Any

from tests.support.works import TENANT, Works


def test_a_search_with_controls_ends_on_a_machine_with_room_for_one_engine(works: Works) -> None:
    treatments = ["random_reinit", "random_mask"]
    search = works.submit({"replicates": [0, 1], "treatments": treatments, "prune": {"levels": 3}})
    document = works.wait(search)
    assert document["status"] == "succeeded", works.log_tail()
    assert document["progress"]["levels_done"] == 2 * 4 + 4 * 3
    kept = {manifest["core"]["level"]: manifest["core"]["kept"] for manifest in _all_levels(works, search)}
    assert kept == {0: 228, 1: 186, 2: 152, 3: 124}
    assert document["best"]["level"] >= 1
    assert document["best"]["final_sha256"] is not None
    assert document["usage"]["cpu_seconds"] > 0


def test_every_level_is_told_of_in_order(works: Works) -> None:
    search = works.submit({"replicates": [4]})
    works.wait(search)
    events = _events(works, search)
    types = [event["type"] for event in events]
    assert types[0] == "search.queued"
    assert types[-1] == "search.succeeded"
    committed = [event for event in events if event["type"] == "level.committed"]
    assert len(committed) == 3 + 2
    for event in committed:
        started = f"{event['lineage']}:{event['level']}:started"
        assert [other["event_id"] for other in events].index(started) < events.index(event)
    assert "ticket.found" in types
    assert types.count("lineage.succeeded") == 2


def test_a_diverging_lineage_fails_with_its_class_while_the_others_go_on(works: Works) -> None:
    train = {"optimizer": "sgd", "lr": {"grid": [0.05, 10.0]}, "weight_decay": 1.0, "momentum": 0.99}
    steps = {"steps": 200, "eval_every": 20, "batch_size": 20}
    search = works.submit({"train": {**train, **steps}}, budget={"max_failed_lineages": 1})
    document = works.wait(search)
    assert document["status"] == "partial", works.log_tail()
    by_setting = {(one["setting"]["train.lr"], one["treatment"]): one for one in works.lineages(search)}
    failed = by_setting[10.0, "winning_ticket"]
    assert (failed["status"], failed["error"]["class"]) == ("failed", "nonfinite")
    assert by_setting[10.0, "random_reinit"]["status"] == "skipped"
    assert by_setting[10.0, "random_reinit"]["reason"] == "upstream"
    assert by_setting[0.05, "winning_ticket"]["status"] == "succeeded"
    assert by_setting[0.05, "random_reinit"]["status"] == "succeeded"


def test_more_failures_than_allowed_fail_the_search(works: Works) -> None:
    train = {"optimizer": "sgd", "lr": 10.0, "weight_decay": 1.0, "momentum": 0.99, "steps": 200, "batch_size": 20}
    search = works.submit({"train": train, "treatments": []})
    document = works.wait(search)
    assert document["status"] == "failed"
    assert document["reason"] == "1 of 1 lineages failed, 0 may"


def test_a_collapsed_layer_is_a_result(works: Works) -> None:
    prune = {"levels": 6, "fraction": 0.9, "output_fraction": 0.9}
    search = works.submit({"prune": prune})
    document = works.wait(search)
    assert document["status"] == "succeeded", works.log_tail()
    for lineage in works.lineages(search):
        assert (lineage["status"], lineage["reason"]) == ("stopped", "collapsed")
        last = max(works.manifests(lineage["key"]).items())[1]
        assert last["core"]["collapsed"]
        assert min(layer["kept"] for layer in last["core"]["layers"]) == 0


def test_asha_stops_a_setting_with_its_controls(works: Works) -> None:
    train = {"lr": {"grid": [0.02, 0.000001]}, "steps": 60, "eval_every": 20, "batch_size": 20}
    scheduler = {"name": "asha", "grace_levels": 1, "reduction_factor": 2}
    search = works.submit({"train": train, "prune": {"levels": 4}, "scheduler": scheduler})
    document = works.wait(search)
    assert document["status"] == "succeeded", works.log_tail()
    states = {(one["setting"]["train.lr"], one["treatment"]): one for one in works.lineages(search)}
    assert states[0.02, "winning_ticket"]["status"] == "succeeded"
    assert states[0.02, "random_reinit"]["status"] == "succeeded"
    for treatment in ("winning_ticket", "random_reinit"):
        assert states[0.000001, treatment]["status"] in ("stopped", "skipped")
        assert states[0.000001, treatment]["reason"] == "scheduler"
    assert states[0.000001, "winning_ticket"]["levels_done"] == 2


def test_a_second_search_adopts_what_the_first_committed(works: Works) -> None:
    spec = {"replicates": [5], "treatments": []}
    works.wait(works.submit(spec))
    longer = works.submit({**spec, "prune": {"levels": 3}})
    document = works.wait(longer)
    assert document["status"] == "succeeded"
    assert document["progress"]["levels_adopted"] == 3
    assert document["progress"]["levels_done"] == 4


def test_a_deadline_cuts_a_search_short(works: Works) -> None:
    endless = {"steps": 200_000, "eval_every": 1000, "batch_size": 20}
    search = works.submit({"train": endless, "replicates": [6]}, budget={"deadline_s": 1.0})
    document = works.wait(search)
    assert (document["status"], document["reason"]) == ("failed", "deadline_exceeded")


def _all_levels(works: Works, search: str) -> list[dict[str, Any]]:
    keys = {name for one in works.lineages(search) for name in (one["key"], one["dense_key"])}
    return [manifest for key in keys for manifest in works.manifests(key).values()]


def _events(works: Works, search: str) -> list[dict[str, Any]]:
    page = works.call(works.record.events(TENANT, search, after=None, limit=1000))
    return [json.loads(json.dumps(event)) for event in page.data]
