"""Accepting a search: once per key, kept for ever, counted before anything is built."""

from __future__ import annotations

import asyncio
import time

import pytest

from service.store import keys
from service.store.errors import (
    IdempotencyKeyReused,
    NotFound,
    QuotaExceeded,
    StoreUnavailable,
    TooLargeForQuota,
    TooManyLineages,
    UnknownDataset,
)
from service.store.objects import ObjectStore
from service.store.record import Record
from tests.support.records import TENANT, OpenRecord, fingerprint_of, lead, register_tiny, submit, tiny_submission

pytestmark = pytest.mark.anyio


async def test_an_accepted_search_reads_as_the_api_shows_it(open_record: OpenRecord) -> None:
    async with open_record() as record:
        await register_tiny(record)
        answer, created = await submit(record)
        assert created
        assert answer["status"] == "queued"
        assert answer["revision"] == 1
        assert answer["counts"]["lineages"] == 4
        assert (answer["counts"]["blocked"], answer["counts"]["pending"]) == (2, 2)
        assert answer["progress"]["levels_total"] == 2 * 3 + 2 * 2
        assert answer["progress"]["queue_position"] == 0
        assert await record.search(TENANT, answer["id"]) == answer


async def test_the_same_key_leads_to_the_same_search(open_record: OpenRecord) -> None:
    async with open_record() as record:
        await register_tiny(record)
        first, created = await submit(record)
        again, created_again = await submit(record)
        assert (created, created_again) == (True, False)
        assert again["id"] == first["id"]
        assert await record.queued() == [(TENANT, first["id"])]


async def test_repeating_a_submission_never_queues_a_search_that_runs_or_has_ended(open_record: OpenRecord) -> None:
    async with open_record() as record:
        await register_tiny(record)
        epoch = await lead(record)
        name = (await submit(record))[0]["id"]
        await record.take_over(TENANT, name, epoch)
        generation = await record.index.generation()
        async with record.index.guarded() as redis:
            await redis.hdel(f"lth:{generation}:search:{TENANT}:{name}", "spec")
        assert not (await submit(record))[1]
        assert await record.queued() == []
        await record.finish(TENANT, name, "failed", None, None, epoch)
        assert (await submit(record))[0]["status"] == "failed"
        assert await record.queued() == []
        assert (await record.quota(TENANT))["live_searches"] == 0


async def test_the_same_key_with_another_body_is_refused_and_frees_its_reservation(open_record: OpenRecord) -> None:
    async with open_record() as record:
        await register_tiny(record)
        await submit(record)
        with pytest.raises(IdempotencyKeyReused):
            await submit(record, tiny_submission(note="other"))
        assert (await record.quota(TENANT))["live_searches"] == 1


async def test_racing_submissions_with_one_key_make_one_search(open_record: OpenRecord) -> None:
    async with open_record() as one, open_record() as other:
        await register_tiny(one)
        answers = await asyncio.gather(*(submit(record) for record in (one, other) * 4))
        assert len({answer["id"] for answer, _ in answers}) == 1
        assert [created for _, created in answers].count(True) == 1
        assert len(await one.objects.list(keys.searches(TENANT))) == 1
        assert (await one.quota(TENANT))["live_searches"] == 1


async def test_two_keys_make_two_searches(open_record: OpenRecord) -> None:
    async with open_record() as record:
        await register_tiny(record)
        ids = {(await submit(record, key=f"key-{i}"))[0]["id"] for i in range(3)}
        page = await record.searches(TENANT, limit=2)
        rest = await record.searches(TENANT, limit=2, after=page.next_after)
        assert [one["id"] for one in page.data + rest.data] == sorted(ids, reverse=True)
        assert rest.next_after is None


async def test_a_search_that_died_after_its_claim_is_finished_by_whoever_repeats_it(
    open_record: OpenRecord, objects: ObjectStore
) -> None:
    async with open_record() as record:
        await register_tiny(record)
        body = tiny_submission()
        draft = await record._draft(TENANT, body, fingerprint_of(body))
        claim, _ = await record._claim(draft, keys.claim(TENANT, "key-1"), fingerprint_of(body))
        answer, created = await submit(record, body)
        assert not created
        assert answer["id"] == claim["search"]
        assert answer["created_at"] == claim["accepted_at"]
        assert await record.open_searches() == [(TENANT, claim["search"])]


async def test_a_grid_over_the_quota_is_counted_and_never_built(open_record: OpenRecord) -> None:
    grid = {"grid": [i / 100 for i in range(1, 65)]}
    huge = tiny_submission(
        spec={
            "prune": {"fraction": grid, "output_fraction": grid, "levels": 40},
            "train": {"steps": 20, "lr": grid, "weight_decay": grid, "eval_every": 10, "batch_size": 10},
            "replicates": 64,
        }
    )
    async with open_record() as record:
        await register_tiny(record)
        began = time.perf_counter()
        with pytest.raises(TooManyLineages) as refusal:
            await submit(record, huge)
        assert time.perf_counter() - began < 0.5
        assert (refusal.value.count, refusal.value.limit) == (64**4 * 64 * 2, 256)
        assert await record.objects.list("claims/") == []


async def test_an_unknown_data_set_is_named_with_the_command_that_registers_it(open_record: OpenRecord) -> None:
    async with open_record() as record:
        with pytest.raises(UnknownDataset, match="lth data add tiny"):
            await submit(record)


async def test_the_quota_of_live_searches_holds_and_a_repeat_needs_none(open_record: OpenRecord) -> None:
    async with open_record(quota_live_searches=1) as record:
        await register_tiny(record)
        await lead(record)
        first, _ = await submit(record)
        with pytest.raises(QuotaExceeded):
            await submit(record, key="key-2")
        again, created = await submit(record)
        assert (again["id"], created) == (first["id"], False)
        await record.cancel(TENANT, first["id"])
        await record.finish(TENANT, first["id"], "cancelled", None, None, 1)
        await submit(record, key="key-2")


async def test_gpu_seconds_are_reserved_against_the_month(open_record: OpenRecord) -> None:
    def gpu(seconds: float | None) -> object:
        return tiny_submission(resources={"device": "cuda"}, budget={"max_gpu_seconds": seconds})

    async with open_record(quota_gpu_seconds=100.0) as record:
        await register_tiny(record)
        for asked in (None, 101.0):
            with pytest.raises(TooLargeForQuota):
                await submit(record, gpu(asked), key="too-large")
        await submit(record, gpu(60.0), key="key-1")
        with pytest.raises(QuotaExceeded):
            await submit(record, gpu(60.0), key="key-2")
        await submit(record, gpu(40.0), key="key-3")


async def test_another_tenant_sees_nothing_of_a_search(open_record: OpenRecord) -> None:
    async with open_record() as record:
        await register_tiny(record)
        answer, _ = await submit(record)
        for read in (record.search, record.events, record.cancel, record.results):
            with pytest.raises(NotFound):
                await read("other", answer["id"])
        assert (await record.searches("other", limit=10)).data == []


@pytest.mark.parametrize("name", ["", "srch_", "../../etc", "srch_" + "0" * 25, "srch_" + "I" * 26, "x" * 5000])
async def test_malformed_ids_are_not_found(record: Record, name: str) -> None:
    with pytest.raises(NotFound):
        await record.search(TENANT, name)


async def test_cancelling_is_durable_and_repeatable(open_record: OpenRecord) -> None:
    async with open_record() as record:
        await register_tiny(record)
        answer, _ = await submit(record)
        cancelled, already = await record.cancel(TENANT, answer["id"], "drain")
        assert (cancelled["status"], cancelled["revision"], already) == ("cancelling", 2, False)
        stricter, _ = await record.cancel(TENANT, answer["id"], "kill")
        softer, _ = await record.cancel(TENANT, answer["id"], "after_level")
        assert (stricter["revision"], softer["revision"]) == (3, 3)
        assert await record.cancel_wish(TENANT, answer["id"]) == "kill"
        assert await record.cancelling() == {(TENANT, answer["id"]): "kill"}
        await record.finish(TENANT, answer["id"], "succeeded", None, None, 1)
        ended, already = await record.cancel(TENANT, answer["id"])
        assert (ended["status"], already) == ("cancelled", True)


async def test_a_store_that_does_not_answer_leaves_the_quota_free(open_record: OpenRecord) -> None:
    async with open_record() as record:
        await register_tiny(record)

        async def silent(key: str, data: bytes) -> tuple[bytes, bool]:
            raise StoreUnavailable("no answer")

        working = record.objects.put_if_absent
        record.objects.put_if_absent = silent
        try:
            with pytest.raises(StoreUnavailable):
                await submit(record)
        finally:
            record.objects.put_if_absent = working
        assert (await record.quota(TENANT))["live_searches"] == 0
        assert (await submit(record))[1]
