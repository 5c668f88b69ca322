"""What drivers write: levels exactly once, outcomes and ends exactly once, and nothing by a leader of the past."""

from __future__ import annotations

import asyncio

import pytest

from lth_core.canonical import canonical_json
from service.store import keys
from service.store.errors import AlreadyTerminal, ArtefactCorrupt, NotKept, StaleEpoch
from service.store.objects import ObjectStore
from service.store.record import Record
from tests.support.records import (
    TENANT,
    OpenRecord,
    commit,
    commit_all,
    lead,
    manifest_of,
    register_tiny,
    start,
    submit,
    tiny_submission,
)

pytestmark = pytest.mark.anyio


async def release_lease(record: Record) -> bool:
    """Do what time does: let the lease of a silent leader lapse."""
    async with record.index.guarded() as redis:
        return bool(await redis.delete("lth:lease"))


async def test_a_committed_level_shows_in_every_document(open_record: OpenRecord) -> None:
    async with open_record() as record:
        name, truth = await start(record)
        chain = truth.lineages[0]
        assert [await commit(record, name, chain, level) for level in (0, 1)] == ["committed"] * 2
        search = await record.search(TENANT, name)
        assert (search["progress"]["levels_done"], search["counts"]["blocked"]) == (2, 1)
        page = await record.lineages(TENANT, name, limit=10)
        assert [one["status"] for one in page.data] == ["pending", "pending", "pending", "blocked"]
        lineage = page.data[0]
        levels = await record.levels(TENANT, name, lineage["id"])
        assert [level["level"] for level in levels] == [0, 1]
        assert levels[0]["ticket"] is None
        ticket = await record.ticket(TENANT, levels[1]["ticket"])
        assert (ticket["lineage"], ticket["level"], ticket["verdicts"]) == (lineage["id"], 1, {})
        ref, mask = await record.ticket_blob(TENANT, ticket["id"], "mask")
        assert (ref.sha256, len(mask)) == (ticket["mask_sha256"], ticket["mask_bytes"])
        with pytest.raises(NotKept):
            await record.ticket_blob(TENANT, ticket["id"], "final")
        manifest = await record.ticket_manifest(TENANT, ticket["id"])
        stored = await record.objects.get(keys.manifest(TENANT, chain.key, 1))
        assert canonical_json(manifest) == stored
        assert (await record.level(TENANT, name, lineage["id"], 2))["status"] == "pending"


async def test_a_level_is_committed_once_and_the_loser_adopts_it(open_record: OpenRecord) -> None:
    async with open_record() as record:
        name, truth = await start(record)
        chain = truth.lineages[0]
        first = await manifest_of(record.objects, name, chain, 1)
        second = {**first, "attempt": 2}
        answers = await asyncio.gather(
            *(record.commit_level(TENANT, name, chain.key, 1, manifest, 1) for manifest in (first, second) * 3)
        )
        standing = answers[0][0]
        assert all(answer == standing for answer, _ in answers)
        assert {what for _, what in answers} == {"committed", "adopted"}
        assert await record.manifests(TENANT, chain.key) == {1: standing}


async def test_other_bits_are_reported_and_the_first_stay(open_record: OpenRecord) -> None:
    async with open_record() as record:
        name, truth = await start(record)
        chain = truth.lineages[0]
        assert await commit(record, name, chain, 1, accuracy=0.9) == "committed"
        assert await commit(record, name, chain, 1, accuracy=0.8) == "divergent"
        lineage = (await record.lineages(TENANT, name, limit=1)).data[0]["id"]
        assert (await record.level(TENANT, name, lineage, 1))["metrics"]["test_accuracy"] == 0.9


async def test_a_manifest_without_its_blobs_is_no_commit(open_record: OpenRecord, objects: ObjectStore) -> None:
    async with open_record() as record:
        name, truth = await start(record)
        chain = truth.lineages[0]
        manifest = await manifest_of(record.objects, name, chain, 1)
        await objects.delete(keys.blob(TENANT, manifest["stored"]["mask"]["sha256"]))
        with pytest.raises(ArtefactCorrupt):
            await record.commit_level(TENANT, name, chain.key, 1, manifest, 1)
        assert await record.manifests(TENANT, chain.key) == {}


async def test_a_level_belongs_where_its_manifest_says(open_record: OpenRecord) -> None:
    async with open_record() as record:
        name, truth = await start(record)
        chain, control = truth.lineages[:2]
        manifest = await manifest_of(record.objects, name, chain, 1)
        with pytest.raises(ValueError, match="level"):
            await record.commit_level(TENANT, name, chain.key, 2, manifest, 1)
        with pytest.raises(ValueError, match="must be of"):
            await record.commit_level(TENANT, name, control.key, 1, manifest, 1)
        manifest["core"]["kept"] += 1
        with pytest.raises(ValueError, match="core_sha256"):
            await record.commit_level(TENANT, name, chain.key, 1, manifest, 1)


async def test_another_search_of_the_same_question_adopts_every_level(open_record: OpenRecord) -> None:
    async with open_record() as record:
        first, _ = await start(record)
        await commit_all(record, first)
        second = (await submit(record, key="key-2"))[0]
        assert second["progress"]["levels_adopted"] == second["progress"]["levels_total"]
        assert second["counts"]["succeeded"] == 4
        mine = (await record.tickets(TENANT, limit=50, search=second["id"])).data
        theirs = (await record.tickets(TENANT, limit=50, search=first)).data
        assert len(mine) == len(theirs) == 8
        assert not {one["id"] for one in mine} & {one["id"] for one in theirs}
        assert (await record.ticket(TENANT, mine[0]["id"]))["search"] == second["id"]


async def test_a_search_ends_once_and_stays_ended(open_record: OpenRecord) -> None:
    async with open_record() as one, open_record() as other:
        name, _ = await start(one)
        statuses = ["succeeded", "failed", "partial", "succeeded"]
        ends = await asyncio.gather(
            *(r.finish(TENANT, name, s, None, None, 1) for r, s in zip((one, other) * 2, statuses, strict=True))
        )
        assert len(set(ends)) == 1
        assert (await other.finish(TENANT, name, "failed", "late", None, 1)) == ends[0]
        assert (await one.search(TENANT, name))["status"] == ends[0].status
        assert await release_lease(one)
        epoch = await lead(other)
        assert await other.finish(TENANT, name, "partial", None, None, epoch) == ends[0]
        assert [record.type for record in await other.logbook.read(TENANT, name)].count("terminal") == 1
        with pytest.raises(AlreadyTerminal) as refusal:
            await one.cancel(TENANT, name)
        assert refusal.value.status == ends[0].status
        assert await one.open_searches() == []
        assert await one.queued() == []


async def test_after_a_wish_to_cancel_the_search_ends_cancelled(open_record: OpenRecord) -> None:
    async with open_record() as record:
        name, _ = await start(record)
        with pytest.raises(ValueError, match="client's wish"):
            await record.finish(TENANT, name, "cancelled", None, None, 1)
        await record.cancel(TENANT, name)
        assert (await record.finish(TENANT, name, "succeeded", None, None, 1)).status == "cancelled"
        counts = (await record.search(TENANT, name))["counts"]
        assert counts["cancelled"] == counts["lineages"]


async def test_outcomes_and_results_join_the_documents(open_record: OpenRecord) -> None:
    async with open_record() as record:
        name, truth = await start(record)
        failed = truth.lineage_ids[truth.lineages[3].key]
        error = {"class": "nonfinite", "message": "loss is not finite at step 7"}
        data = {"lineage": failed, "status": "failed", "reason": "nonfinite", "error": error}
        for _ in range(2):
            await record.append(TENANT, name, "outcome", data, f"outcome:{failed}", 1)
        await commit_all(record, name)
        chain = truth.lineages[0]
        verdicts = {"paper_point": "yes", "certified": "inconclusive"}
        results = {
            "levels": [{"setting": 0, "level": 2, "verdicts": verdicts}],
            "best": {"key": chain.key, "level": 2},
            "usage": {"gpu_seconds": 0.0, "cpu_seconds": 12.5},
        }
        digest = await record.put_results(TENANT, name, results)
        await record.finish(TENANT, name, "partial", None, digest, 1)
        search = await record.search(TENANT, name)
        assert search["best"]["verdicts"] == verdicts
        assert search["usage"]["cpu_seconds"] == 12.5
        assert search["results"] == digest
        assert (await record.tickets(TENANT, limit=9, verdict="paper_point")).data[0]["level"] == 2
        assert (await record.results(TENANT, name)) == {"format": 1, **results}


async def test_a_failed_lineage_shows_its_error(open_record: OpenRecord) -> None:
    async with open_record() as record:
        name, truth = await start(record)
        failed = truth.lineage_ids[truth.lineages[0].key]
        data = {"lineage": failed, "status": "failed", "reason": "nonfinite", "error": {"class": "nonfinite"}}
        await record.append(TENANT, name, "outcome", data, f"outcome:{failed}", 1)
        lineage = await record.lineage(TENANT, name, failed)
        assert (lineage["status"], lineage["error"]) == ("failed", {"class": "nonfinite"})


async def test_a_collapsed_level_stops_its_lineage_and_no_other(open_record: OpenRecord) -> None:
    async with open_record() as record:
        name, truth = await start(record)
        chain = truth.lineages[0]
        await commit(record, name, chain, 0)
        await commit(record, name, chain, 1, collapsed=True)
        page = await record.lineages(TENANT, name, limit=9)
        assert (page.data[0]["status"], page.data[0]["reason"]) == ("stopped", "collapsed")
        assert {one["status"] for one in page.data[1:]} == {"pending", "blocked"}


async def test_of_two_leaders_the_stale_one_is_refused_everywhere(open_record: OpenRecord) -> None:
    async with open_record() as old, open_record() as new:
        await register_tiny(old)
        name = (await submit(old))[0]["id"]
        first = await old.lead("first")
        assert first is not None
        assert await new.lead("second") is None
        await old.take_over(TENANT, name, first.epoch)
        assert await release_lease(old)
        second = await new.lead("second")
        assert second is not None
        assert second.epoch == first.epoch + 1
        assert not await first.renew()
        assert not first.ok()
        chain = (await old.load(TENANT, name)).lineages[0]
        with pytest.raises(StaleEpoch):
            await old.heartbeat(TENANT, name, first.epoch, {"status": "running"})
        with pytest.raises(StaleEpoch):
            await old.emit(TENANT, name, "x", "lineage.started", None, None, {}, first.epoch)
        with pytest.raises(StaleEpoch):
            await commit(old, name, chain, 0, epoch=first.epoch)
        await new.take_over(TENANT, name, second.epoch)
        with pytest.raises(StaleEpoch):
            await old.finish(TENANT, name, "failed", None, None, first.epoch)
        with pytest.raises(StaleEpoch):
            await old.append(TENANT, name, "rung", {"level": 1}, "rung:1", first.epoch)
        assert (await new.search(TENANT, name))["status"] in ("provisioning", "running")
        figures = await new.figures()
        assert figures["stale_writes_refused"] >= 3
        assert (figures["leader_epoch"], figures["queue_depth"]) == (second.epoch, 0)


async def test_racing_candidates_make_one_leader_and_every_epoch_is_new(open_record: OpenRecord) -> None:
    epochs = []
    async with open_record() as one, open_record() as other:
        for _ in range(3):
            leases = [await record.lead("x") for record in (one, other)]
            raced = [lease for lease in leases if lease is not None]
            assert len(raced) == 1
            epochs.append(raced[0].epoch)
            await raced[0].release()
    assert epochs == [1, 2, 3]


async def test_a_heartbeat_shows_what_runs_and_brings_the_wish_back(open_record: OpenRecord) -> None:
    async with open_record() as record:
        await register_tiny(record)
        name = (await submit(record))[0]["id"]
        lease = await record.lead("x")
        assert lease is not None
        truth = await record.load(TENANT, name)
        await record.take_over(TENANT, name, lease.epoch)
        assert (await record.search(TENANT, name))["status"] == "provisioning"
        lineage = truth.lineage_ids[truth.lineages[0].key]
        current = {"level": 0, "step": 10, "steps": 20}
        overlay = {"status": "running", "lineages": {lineage: {"status": "running", "attempt": 2, "current": current}}}
        assert await record.heartbeat(TENANT, name, lease.epoch, overlay) is None
        shown = await record.lineage(TENANT, name, lineage)
        assert (shown["status"], shown["attempt"], shown["current"]) == ("running", 2, current)
        assert (await record.search(TENANT, name))["status"] == "running"
        await record.cancel(TENANT, name, "after_level")
        assert await record.heartbeat(TENANT, name, lease.epoch, overlay) == "after_level"


async def test_waiting_searches_come_by_priority_then_tenants_in_turn(open_record: OpenRecord) -> None:
    async with open_record() as record:
        await register_tiny(record)
        await lead(record)
        names = {}
        for tenant, priority, count in (("a", "normal", 3), ("b", "normal", 1), ("c", "high", 1)):
            for number in range(count):
                body = tiny_submission(priority=priority)
                answer, _ = await record.submit(
                    tenant, body, idempotency_key=f"{tenant}{number}", fingerprint=f"{tenant}{number}"
                )
                names[answer["id"]] = f"{tenant}{number}"
        assert [names[name] for _, name in await record.queued()] == ["c0", "a0", "b0", "a1", "a2"]
        first = await record.next_search(0.1)
        assert first is not None
        await record.take_over(*first, 1)
        assert len(await record.queued()) == 4


async def test_a_waiting_dispatcher_is_woken_by_a_submission(open_record: OpenRecord) -> None:
    async with open_record() as record:
        await register_tiny(record)
        waiting = asyncio.create_task(record.next_search(10))
        await asyncio.sleep(0.3)
        answer, _ = await submit(record)
        async with asyncio.timeout(2):
            assert await waiting == (TENANT, answer["id"])
