"""Submitting, replaying, listing, looking at and cancelling searches over HTTP."""

from __future__ import annotations

import http.client
import json
import time
from typing import Any

import pytest

from tests.contract.api.conftest import Api, World

BODY: dict[str, Any] = {
    "name": "by-http",
    "spec": {
        "model": {"name": "mlp", "sizes": [64, 16, 10]},
        "dataset": {"name": "digits"},
        "train": {"steps": 50, "eval_every": 10},
        "prune": {"levels": 2},
        "replicates": 2,
        "treatments": ["random_reinit"],
    },
}


def grids(num: int, length: int) -> dict[str, Any]:
    """A body whose expansion has `length ** num` settings."""
    values = {"grid": [(i + 1) / 1000 for i in range(length)]}
    names = ("lr", "momentum", "weight_decay", "gamma")[: num - 1]
    train = {"steps": 100, "optimizer": "sgd", **dict.fromkeys(names, values)}
    spec = BODY["spec"] | {"train": train, "prune": {"fraction": values, "levels": 2}, "replicates": 1}
    return {"spec": spec | {"treatments": []}}


def test_a_search_is_accepted_with_its_address_and_then_found_there(api: Api) -> None:
    answer = api.send("POST", "/v1/searches", BODY)
    assert answer.status == 202
    search = answer.json()
    assert answer.headers["location"] == f"/v1/searches/{search['id']}"
    assert answer.headers["retry-after"] == "2"
    assert search["status"] == "queued"
    assert search["counts"]["lineages"] == 4
    assert search["progress"]["levels_total"] == 2 * (3 + 2)
    again = api.get(answer.headers["location"])
    assert (again["id"], again["spec"]) == (search["id"], search["spec"])
    assert api.get("/v1/searches?limit=1")["data"][0]["id"] == search["id"]


def test_the_same_post_sent_twice_with_one_key_makes_one_search(api: Api) -> None:
    first = api.send("POST", "/v1/searches", BODY, Idempotency_Key="twice")
    shuffled = json.dumps(dict(reversed(BODY.items())), indent=3).encode()
    second = api.send("POST", "/v1/searches", shuffled, Idempotency_Key="twice")
    assert (first.status, second.status) == (202, 200)
    assert second.headers["idempotency-replayed"] == "true"
    assert first.json()["id"] == second.json()["id"]
    other = api.send("POST", "/v1/searches", BODY | {"name": "another"}, Idempotency_Key="twice")
    assert other.status == 422
    assert other.json()["code"] == "idempotency_key_reused"


def test_without_a_key_two_posts_are_two_searches(api: Api) -> None:
    ids = {api.send("POST", "/v1/searches", BODY).json()["id"] for _ in range(2)}
    assert len(ids) == 2


def test_validate_only_counts_and_stores_nothing(api: Api) -> None:
    before = api.get("/v1/searches?limit=1")["data"]
    answer = api.send("POST", "/v1/searches?validate_only=true", BODY, Idempotency_Key="never-used")
    assert answer.status == 200
    counted = answer.json()
    assert (counted["settings"], counted["lineages"], counted["levels"]) == (1, 4, 10)
    assert counted["steps"] == 500
    assert counted["fits"] is True
    assert api.get("/v1/searches?limit=1")["data"][0]["id"] == before[0]["id"]
    assert api.send("POST", "/v1/searches:estimate", BODY).json() == counted


def test_a_grid_over_the_quota_is_refused_as_fast_as_a_small_one(api: Api) -> None:
    def timed(body: dict[str, Any]) -> tuple[float, Any]:
        begin = time.perf_counter()
        answer = api.send("POST", "/v1/searches:estimate", body)
        return time.perf_counter() - begin, answer

    refused = api.send("POST", "/v1/searches", grids(5, 64))
    assert refused.status == 422
    assert refused.json()["code"] == "too_many_lineages"
    assert str(64**5) in refused.json()["detail"]
    assert "256" in refused.json()["detail"]
    small = min(timed(grids(1, 2))[0] for _ in range(5))
    huge = min(timed(grids(5, 64))[0] for _ in range(5))
    counted = timed(grids(5, 64))[1].json()
    assert counted["lineages"] == 64**5
    assert counted["fits"] is False
    assert huge < small + 0.1


@pytest.mark.parametrize(
    ("change", "status", "code", "words"),
    [
        ({"dataset": {"name": "imagenet"}}, 422, "unknown_dataset", "lth data add imagenet"),
        ({"model": {"name": "transformer"}}, 422, "invalid_spec", "/spec/model/name"),
        ({"prune": {"levels": 2, "granularity": "channel"}}, 501, "not_supported", "channel"),
        ({"model": {"name": "mlp", "sizes": [63, 10]}}, 422, "invalid_spec", "/spec/model"),
        ({"prune": {"fraction": 1}}, 422, "invalid_spec", "must be < 1, got 1"),
        ({"rewind": {"step": 50}}, 422, "invalid_spec", "must be < train.steps (50), got 50"),
        ({"rewind": {"epoch": 9}}, 422, "invalid_spec", "/spec/rewind/epoch"),
        ({"treatments": ["reset"]}, 422, "invalid_spec", "/spec/treatments/0"),
        ({"method": "snip", "prune": {"densities": [0.5, 0.9]}}, 422, "invalid_spec", "/spec/prune"),
        ({"method": "one_shot", "rewind": {"mode": "lr"}}, 422, "invalid_spec", "/spec/rewind/mode"),
        ({"replicates": 0}, 422, "invalid_spec", "/spec/replicates"),
        ({"train": {"steps": 50, "eval_every": 10, "batch_size": 4096}}, 422, "invalid_spec", "/spec/train/batch_size"),
    ],
)
def test_bad_input_names_pointer_bound_and_value(
    api: Api, change: dict[str, Any], status: int, code: str, words: str
) -> None:
    answer = api.send("POST", "/v1/searches", {"spec": BODY["spec"] | change})
    assert (answer.status, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert words in answer.json()["detail"]


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (b'{"spec": NaN}', {}, 400, "bad_json"),
        (b'{"spec": 1, "spec": 2}', {}, 400, "bad_json"),
        (b'{"name": "\\ud800"}', {}, 400, "bad_json"),
        (b"[" * 60_000, {}, 400, "bad_json"),
        (b"", {}, 400, "bad_json"),
        (b"{}", {"Content_Type": "text/plain"}, 415, "unsupported_media_type"),
        (b"{}", {"Content_Type": "application/json; charset=latin-1"}, 415, "unsupported_media_type"),
        (b"{}", {"Content_Encoding": "gzip"}, 415, "unsupported_media_type"),
        (b" " * 10_000_000, {}, 413, "body_too_large"),
        (b"{}", {"Idempotency_Key": "x" * 256}, 422, "bad_header"),
        (b"{}", {"Idempotency_Key": "two words"}, 422, "bad_header"),
    ],
)
def test_bodies_that_cannot_be_read_are_problems(
    api: Api, body: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    answer = api.send("POST", "/v1/searches", body, **headers)
    assert (answer.status, answer.json()["code"]) == (status, code)
    assert answer.headers["x-request-id"] == answer.json()["request_id"]


def test_a_chunked_body_over_the_bound_is_a_problem_too(api: Api) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=20)
    chunks = (b" " * 10_000 for _ in range(300))
    connection.request("POST", "/v1/searches", chunks, {"Content-Type": "application/json"}, encode_chunked=True)
    answer = connection.getresponse()
    assert answer.status == 413
    assert json.loads(answer.read())["code"] == "body_too_large"
    connection.close()


def test_pages_hold_every_search_once_newest_first(keyed: Api, world: World) -> None:
    seen: list[str] = []
    path = "/v1/searches?limit=1"
    while True:
        answer = keyed.send("GET", path)
        page = answer.json()
        seen += [one["id"] for one in page["data"]]
        if not page["has_more"]:
            assert "link" not in answer.headers
            break
        path = answer.headers["link"].removeprefix("<").partition(">")[0]
        assert page["next_after"] in path
    assert seen == sorted(seen, reverse=True)
    assert {world.searches["alice"].id, world.searches["open"].id} <= set(seen)


def test_lists_are_filtered_and_cut_to_fields(keyed: Api, world: World) -> None:
    ended = keyed.get("/v1/searches?status=succeeded&label=made=by-test&fields=name,status")["data"]
    assert ended == [{"id": world.searches["alice"].id, "name": "first-of-alice", "status": "succeeded"}]
    assert keyed.get("/v1/searches?created_before=2020-01-01T00:00:00Z")["data"] == []
    for query in ("fields=nonsense", "created_after=yesterday", "status=ended", "limit=0", "limit=201", "unknown=1"):
        answer = keyed.send("GET", f"/v1/searches?{query}")
        assert (answer.status, answer.json()["code"]) == (422, "bad_filter"), query
    assert keyed.send("GET", "/v1/searches?after=nonsense").json()["code"] == "bad_cursor"


def test_an_unchanged_search_is_304_and_waiting_ends_at_once_for_an_ended_one(keyed: Api, world: World) -> None:
    path = f"/v1/searches/{world.searches['alice'].id}"
    first = keyed.send("GET", path, Prefer="wait=20")
    assert first.status == 200
    assert first.headers["preference-applied"] == "wait=20"
    again = keyed.send("GET", path, If_None_Match=first.headers["etag"])
    assert (again.status, again.body) == (304, b"")


def test_waiting_lasts_as_long_as_asked_for_an_open_search(keyed: Api, world: World) -> None:
    path = f"/v1/searches/{world.searches['open'].id}"
    begin = time.monotonic()
    answer = keyed.send("GET", path, Prefer="wait=1")
    assert answer.json()["status"] in ("provisioning", "running")
    assert 0.9 < time.monotonic() - begin < 5


def test_an_ended_search_cannot_be_cancelled(keyed: Api, world: World) -> None:
    answer = keyed.send("POST", f"/v1/searches/{world.searches['alice'].id}/cancel")
    assert (answer.status, answer.json()["code"]) == (409, "already_terminal")


def test_cancelling_is_accepted_and_repeatable(api: Api) -> None:
    path = api.send("POST", "/v1/searches", BODY).headers["location"]
    for mode in ("drain", "kill", "drain"):
        answer = api.send("POST", f"{path}/cancel", {"mode": mode})
        assert (answer.status, answer.json()["status"]) == (202, "cancelling")
    assert api.send("POST", f"{path}/cancel", {"mode": "softly"}).json()["errors"][0]["pointer"] == "/mode"
    assert api.send("POST", f"{path}/cancel", {"how": "kill"}).status == 422
