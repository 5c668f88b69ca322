"""The client against a real HTTP server that behaves well, badly and not at all."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from service.client import AsyncClient, Client, RetryPolicy
from service.wire.problems import (
    BY_CODE,
    DigestMismatch,
    IdempotencyKeyReused,
    NotFound,
    ProblemError,
    RateLimited,
    SearchCancelled,
    SearchFailed,
    ServiceUnreachable,
    TooManyLineages,
    WaitTimeout,
)
from service.wire.uploads import TicketFiles
from tests.support.processes import free_port
from tests.support.scripted_service import Says, ScriptedService, page, problem, scripted_service, stream
from tests.support.service_documents import MASKS, PACKED, SEARCH, TICKET, search, tell_everything

QUICK = RetryPolicy(unreachable_s=2.0, refused_s=2.0, first_pause_s=0.01, longest_pause_s=0.05)
SPEC = {"model": {"name": "lenet_300_100"}, "dataset": {"name": "digits"}}
EVENTS = f"/v1/searches/{SEARCH}/events"


@pytest.fixture
def service() -> Iterator[ScriptedService]:
    with scripted_service() as one:
        yield one


@pytest.fixture
def lth(service: ScriptedService) -> Iterator[Client]:
    with Client(service.url, policy=QUICK) as client:
        yield client


def event(name: str, kind: str, **members: object) -> dict[str, object]:
    return {"event_id": name, "type": kind, "at": "2026-11-22T09:31:15.596Z", "search": SEARCH, **members}


def test_a_submission_keeps_its_idempotency_key_over_all_its_tries(service: ScriptedService, lth: Client) -> None:
    busy = problem(503, "redis", **{"Retry-After": "0"})
    service.on("POST", "/v1/searches", busy, Says(0), problem(502, "artefact_corrupt"), Says(202, search("queued")))
    assert lth.submit(SPEC, name="mine").id == SEARCH
    asked = service.asked_for("POST", "/v1/searches")
    assert len(asked) == 4
    assert len({one.headers["idempotency-key"] for one in asked}) == 1
    assert asked[0].json() == {"name": "mine", "spec": SPEC}


def test_two_submissions_have_different_keys(service: ScriptedService, lth: Client) -> None:
    service.on("POST", "/v1/searches", Says(202, search("queued")))
    lth.submit(SPEC)
    lth.submit({"spec": SPEC, "name": "whole body"})
    first, second = service.asked_for("POST", "/v1/searches")
    assert first.headers["idempotency-key"] != second.headers["idempotency-key"]
    assert second.json() == {"name": "whole body", "spec": SPEC}


def test_retry_after_is_obeyed(service: ScriptedService) -> None:
    pauses = [QUICK.pause_s(1, 1.5) for _ in range(50)]
    assert all(1.5 <= pause <= 1.5 * 1.25 for pause in pauses)
    assert len(set(pauses)) > 1, "there is jitter"
    assert QUICK.pause_s(30, None) <= QUICK.longest_pause_s * 1.25


def test_patience_with_refusals_ends_and_the_refusal_is_told(service: ScriptedService, lth: Client) -> None:
    service.on("GET", "/v1/me", problem(429, "rate_limited", "slow down", **{"Retry-After": "100"}))
    with pytest.raises(RateLimited) as caught:
        lth.get("/v1/me")
    assert caught.value.retry_after_s == 100
    assert len(service.asked) == 1


def test_a_service_that_does_not_listen_is_unreachable() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    policy = RetryPolicy(unreachable_s=0.3, first_pause_s=0.05)
    with Client(url, policy=policy) as lth, pytest.raises(ServiceUnreachable, match=url):
        lth.get("/v1/me")


def test_every_problem_code_has_its_own_exception(service: ScriptedService, lth: Client) -> None:
    service.on("POST", "/v1/searches", problem(422, "too_many_lineages", "360 lineages; the limit is 256"))
    with pytest.raises(TooManyLineages, match="360 lineages"):
        lth.submit(SPEC)
    assert issubclass(BY_CODE["idempotency_key_reused"], ProblemError)
    assert BY_CODE["idempotency_key_reused"] is IdempotencyKeyReused


def test_the_client_knows_every_code_of_the_service() -> None:
    from service.api.errors import PROBLEMS

    assert set(PROBLEMS) <= set(BY_CODE)


def test_an_unknown_code_stays_readable(service: ScriptedService, lth: Client) -> None:
    service.on("GET", "/v1/me", problem(409, "from_the_future", "what is this"))
    with pytest.raises(ProblemError, match="what is this") as caught:
        lth.get("/v1/me")
    assert (caught.value.code, caught.value.status) == ("from_the_future", 409)


def test_an_answer_that_is_no_problem_document_is_still_an_error(service: ScriptedService, lth: Client) -> None:
    service.on("GET", "/v1/me", Says(500, body=b"<html>"))
    with pytest.raises(ProblemError, match="HTTP 500"):
        lth.get("/v1/me")


def test_the_key_is_sent_and_only_if_there_is_one(service: ScriptedService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LTH_API_KEY", raising=False)
    service.on("GET", "/v1/me", Says(document={}))
    with Client(service.url) as without, Client(service.url, key="lth_12345678_secret") as with_key:
        without.get("/v1/me")
        with_key.get("/v1/me")
    first, second = service.asked
    assert "authorization" not in first.headers
    assert second.headers["authorization"] == "Bearer lth_12345678_secret"


def test_lists_are_read_page_by_page(service: ScriptedService, lth: Client) -> None:
    service.on("GET", "/v1/searches", page(search(), next_after="abc"), page(search("failed")))
    assert [one.status for one in lth.searches(status="any")] == ["succeeded", "failed"]
    first, second = service.asked
    assert "after=" not in first.query
    assert "after=abc" in second.query
    assert "status=any" in second.query


def test_events_go_on_where_the_stream_broke_and_no_event_comes_twice(service: ScriptedService, lth: Client) -> None:
    one, two = event("a:0:committed", "level.committed"), event("a:1:committed", "level.committed", level=1)
    end = event("end", "search.succeeded")
    service.on("GET", f"/v1/searches/{SEARCH}", Says(document=search("running")))
    service.on(
        "GET",
        EVENTS,
        stream(("1.1", one), ("1.2", two), torn=True),
        Says(0),
        problem(503, "redis", **{"Retry-After": "0"}),
        stream(("1.2", two), ("1.3", end)),
    )
    seen = list(lth.search(SEARCH).events())
    assert [one.event_id for one in seen] == ["a:0:committed", "a:1:committed", "end"]
    assert [one.level for one in seen] == [None, 1, None]
    positions = [asked.headers.get("last-event-id") for asked in service.asked_for("GET", EVENTS)]
    assert positions == [None, "1.2", "1.2", "1.2"]


def test_after_a_reset_the_story_is_told_again_without_repeats(service: ScriptedService, lth: Client) -> None:
    one, end = event("a:0:committed", "level.committed"), event("end", "search.succeeded")
    service.on("GET", f"/v1/searches/{SEARCH}", Says(document=search("running")))
    service.on(
        "GET",
        EVENTS,
        stream(("1.9", one), torn=True),
        stream(("2.0", event("reset", "reset", data={"status": "running"})), ("2.1", one), ("2.2", end)),
    )
    assert [one.type for one in lth.search(SEARCH).events()] == ["level.committed", "reset", "search.succeeded"]


def test_204_ends_the_events(service: ScriptedService, lth: Client) -> None:
    service.on("GET", f"/v1/searches/{SEARCH}", Says(document=search()))
    service.on("GET", EVENTS, Says(204))
    assert list(lth.search(SEARCH).events(after="1.9")) == []
    assert service.asked_for("GET", EVENTS)[0].headers["last-event-id"] == "1.9"


def test_events_of_a_search_that_does_not_exist_are_refused_at_once(service: ScriptedService, lth: Client) -> None:
    service.on("GET", f"/v1/searches/{SEARCH}", Says(document=search()))
    with pytest.raises(NotFound):
        list(lth.search(SEARCH).events())


@pytest.mark.parametrize(
    ("status", "error"), [("failed", SearchFailed), ("cancelled", SearchCancelled)], ids=["failed", "cancelled"]
)
def test_waiting_for_a_search_that_ends_badly_raises(
    service: ScriptedService, lth: Client, status: str, error: type[Exception]
) -> None:
    service.on("GET", f"/v1/searches/{SEARCH}", Says(document=search(status)))
    with pytest.raises(error, match=SEARCH):
        lth.search(SEARCH).wait()


def test_waiting_gives_up_in_time(service: ScriptedService, lth: Client) -> None:
    service.on("GET", f"/v1/searches/{SEARCH}", Says(document=search("running")))
    with pytest.raises(WaitTimeout, match="it goes on"):
        lth.search(SEARCH).wait(timeout_s=0.1)


def test_the_best_mask_is_boolean_arrays_with_the_promised_counts(service: ScriptedService, lth: Client) -> None:
    tell_everything(service)
    best = lth.search(SEARCH).wait().best
    assert best is not None
    masks = best.mask()
    assert list(masks) == list(MASKS)
    for name, mask in MASKS.items():
        np.testing.assert_array_equal(masks[name], mask)
        assert masks[name].dtype == np.bool_


def test_a_mask_with_a_flipped_bit_is_not_accepted(service: ScriptedService, lth: Client) -> None:
    tell_everything(service)
    service.on("GET", f"/v1/tickets/{TICKET}/mask", Says(body=bytes([PACKED[0] ^ 1]) + PACKED[1:]))
    with pytest.raises(DigestMismatch, match="mask"):
        lth.ticket(TICKET).mask()


def test_a_download_is_checked_against_its_announced_digest(
    service: ScriptedService, lth: Client, tmp_path: Path
) -> None:
    tell_everything(service)
    digest = base64.b64encode(hashlib.sha256(b"other bytes").digest()).decode()
    service.on("GET", f"/v1/tickets/{TICKET}/mask", Says(body=PACKED, headers={"Repr-Digest": f"sha-256=:{digest}:"}))
    with pytest.raises(DigestMismatch, match="announced"):
        lth.ticket(TICKET).download(tmp_path)


def test_a_download_leaves_out_what_was_not_kept(service: ScriptedService, lth: Client, tmp_path: Path) -> None:
    tell_everything(service)
    service.on("GET", f"/v1/tickets/{TICKET}/rewind", Says(body=b"weights"))
    service.on("GET", f"/v1/tickets/{TICKET}/final", problem(404, "not_kept"))
    written = lth.ticket(TICKET).download(tmp_path / "t", "packed")
    assert [path.name for path in written] == ["manifest.json", "mask.bits", "rewind.safetensors"]
    assert (tmp_path / "t" / "mask.bits").read_bytes() == PACKED


def test_an_export_that_is_still_being_made_is_waited_for(
    service: ScriptedService, lth: Client, tmp_path: Path
) -> None:
    tell_everything(service)
    making = Says(202, {"object": "export"}, headers={"Retry-After": "0.01"})
    service.on("GET", f"/v1/tickets/{TICKET}/mask", making, making, Says(body=b"zip"))
    assert lth.ticket(TICKET).fetch("mask", "open_lth").data == b"zip"
    assert len(service.asked_for("GET", f"/v1/tickets/{TICKET}/mask")) == 3


def test_the_async_client_says_the_same(service: ScriptedService) -> None:
    tell_everything(service)
    end = event("end", "search.succeeded")
    service.on("POST", "/v1/searches", problem(503, "redis", **{"Retry-After": "0"}), Says(202, search()))
    service.on("GET", EVENTS, stream(("1.1", event("one", "search.running")), torn=True), stream(("1.2", end)))

    async def all_of_it() -> list[str]:
        async with AsyncClient(service.url, policy=QUICK) as lth:
            found = await lth.submit(SPEC)
            await found.wait(timeout_s=5)
            best = await found.best()
            assert best is not None
            np.testing.assert_array_equal((await best.mask())["fc1.weight"], MASKS["fc1.weight"])
            assert [t.id async for t in found.tickets()] == [TICKET]
            assert len([lineage async for lineage in found.lineages()]) == 6
            return [e.event_id async for e in found.events()]

    assert asyncio.run(all_of_it()) == ["one", "end"]


ROOT = f"/v1/searches/{SEARCH}"
UPLOADED = {"id": "upl_01M819GX8CWEWRMKD33897TJYY", "density": 0.5}
FILES = TicketFiles({"model": {"name": "mlp"}, "in_shape": [1, 2, 2], "num_classes": 2}, b"\x05", b"weights")


def tell_analyses(service: ScriptedService) -> None:
    tell_everything(service)
    making = Says(202, {"object": "analysis"}, headers={"Retry-After": "0.01"})
    service.on("GET", f"{ROOT}/analysis/verdict", making, Says(document={"name": "verdict"}))
    service.on("GET", f"/v1/tickets/{TICKET}/analysis/signs", Says(document={"name": "signs"}))
    service.on("GET", f"{ROOT}/report", making, Says(body=b"# Report"))
    service.on("GET", f"{ROOT}/report/figures/accuracy.png", Says(body=b"png"))
    service.on("POST", "/v1/tickets", Says(503), Says(201, UPLOADED))
    service.on("GET", f"/v1/uploads/{UPLOADED['id']}", Says(document=UPLOADED))
    service.on("GET", "/v1/uploads", page(UPLOADED))


def test_analyses_reports_and_figures_are_waited_for(service: ScriptedService, lth: Client) -> None:
    tell_analyses(service)
    found = lth.search(SEARCH)
    assert found.analysis("verdict") == {"name": "verdict"}
    assert found.report() == b"# Report"
    assert service.asked_for("GET", f"{ROOT}/report")[-1].query == "format=markdown"
    assert found.figure("accuracy.png") == b"png"
    assert lth.ticket(TICKET).analysis("signs") == {"name": "signs"}


def test_an_upload_is_sent_as_a_form_and_again_where_the_service_was_away(
    service: ScriptedService, lth: Client
) -> None:
    tell_analyses(service)
    assert lth.upload_ticket(FILES) == UPLOADED
    first, second = service.asked_for("POST", "/v1/tickets")
    assert b'name="mask"' in second.body
    assert b"weights" in second.body
    assert len(first.body) == len(second.body)
    assert lth.upload(UPLOADED["id"]) == UPLOADED
    assert list(lth.uploads()) == [UPLOADED]


def test_the_asynchronous_client_has_the_same_words_for_them(service: ScriptedService) -> None:
    tell_analyses(service)

    async def use() -> None:
        async with AsyncClient(service.url, policy=QUICK) as lth:
            found = await lth.search(SEARCH)
            assert await found.analysis("verdict") == {"name": "verdict"}
            assert await found.report("markdown") == b"# Report"
            assert await found.figure("accuracy.png") == b"png"
            assert await (await lth.ticket(TICKET)).analysis("signs") == {"name": "signs"}
            assert await lth.upload_ticket(FILES) == UPLOADED
            assert await lth.upload(UPLOADED["id"]) == UPLOADED
            assert [one async for one in lth.uploads()] == [UPLOADED]

    asyncio.run(use())


def test_the_cluster_is_the_same_for_both_clients(service: ScriptedService, lth: Client) -> None:
    service.on("GET", "/v1/cluster", Says(document={"object": "cluster", "reachable": False}))
    service.on("GET", "/v1/cluster/nodes", Says(document={"object": "nodes", "data": []}))

    async def ask() -> list[dict[str, object]]:
        async with AsyncClient(service.url, policy=QUICK) as client:
            return [await client.cluster(), await client.nodes()]

    assert asyncio.run(ask()) == [lth.cluster(), lth.nodes()]
    assert lth.cluster()["reachable"] is False
