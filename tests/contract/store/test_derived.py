"""Exports, analyses and reports: queued once, made once, new when a search goes on, kept when it has ended."""

from __future__ import annotations

import json

import pytest

from service.store import derived, keys
from service.store.errors import ExportFailed, NotFound, NotPossible, RedisUnavailable
from service.store.jobs import FINAL, Kind
from service.store.objects import BlobRef
from service.store.record import Record
from tests.support.records import TENANT, OpenRecord, commit, commit_all, start
from tests.support.valkey import ValkeyServer

pytestmark = pytest.mark.anyio


async def begun(record: Record) -> tuple[str, str]:
    """Start a search and commit two levels of its first chain; return its id and its ticket's."""
    search, truth = await start(record)
    await commit(record, search, truth.lineages[0], 0)
    await commit(record, search, truth.lineages[0], 1)
    return search, (await record.tickets(TENANT, limit=1)).data[0]["id"]


async def ended(record: Record) -> tuple[str, str]:
    """A search that has ended, and a ticket of it."""
    search, ticket = await begun(record)
    await commit_all(record, search)
    results = await record.put_results(TENANT, search, {"levels": [], "best": None})
    await record.finish(TENANT, search, "succeeded", None, results, 1)
    return search, ticket


async def make(record: Record, text: str) -> BlobRef:
    """Do the next job as a worker would."""
    job = await record.next_derived(0.0)
    assert job is not None
    made = await record.objects.put_blob(TENANT, text.encode())
    await record.finish_derived(job, made)
    return made


async def test_an_export_is_queued_once_made_once_and_then_served(record: Record) -> None:
    _, ticket = await begun(record)
    assert [await record.request_derived(TENANT, ticket, "export", "torch_prune") for _ in range(3)] == [None] * 3
    assert await record.num_derived_waiting() == 1
    job = await record.next_derived(0.0)
    assert job is not None
    assert (job.tenant, job.subject, job.kind, job.name) == (TENANT, ticket, "export", "torch_prune")
    assert job.version == FINAL
    assert await record.next_derived(0.0) is None
    made = await record.objects.put_blob(TENANT, b"exported")
    await record.finish_derived(job, made)
    assert await record.request_derived(TENANT, ticket, "export", "torch_prune") == made
    assert await record.num_derived_waiting() == 0
    assert await record.blob(TENANT, made.sha256) == b"exported"


@pytest.mark.parametrize(
    ("kind", "name", "failure"), [("export", "open_lth", ExportFailed), ("analysis", "signs", NotPossible)]
)
async def test_what_cannot_be_made_says_why(record: Record, kind: Kind, name: str, failure: type[Exception]) -> None:
    _, ticket = await begun(record)
    await record.request_derived(TENANT, ticket, kind, name)
    job = await record.next_derived(0.0)
    assert job is not None
    await record.finish_derived(job, None, error="rewind weights were not kept")
    for _ in range(2):
        with pytest.raises(failure, match="not kept"):
            await record.request_derived(TENANT, ticket, kind, name)
    assert await record.num_derived_waiting() == 0


@pytest.mark.parametrize(
    ("of", "kind", "name"),
    [
        ("ticket", "export", "zip"),
        ("ticket", "analysis", "barrier"),
        ("ticket", "report", "html"),
        ("search", "export", "torch_prune"),
        ("search", "analysis", "locality"),
        ("search", "report", "figure-../x.svg"),
        ("search", "report", "figure-a.gif"),
    ],
)
async def test_what_nobody_makes_is_refused(record: Record, of: str, kind: Kind, name: str) -> None:
    search, ticket = await begun(record)
    with pytest.raises(ValueError, match=f"{kind} must be one of"):
        await record.request_derived(TENANT, search if of == "search" else ticket, kind, name)
    assert await record.num_derived_waiting() == 0


async def test_another_tenants_search_and_ticket_are_not_found(record: Record) -> None:
    search, ticket = await begun(record)
    for subject in (search, ticket, "srch_" + "0" * 26, "tkt_" + "0" * 26, "x"):
        with pytest.raises(NotFound):
            await record.request_derived("other", subject, "analysis", "overlap")


async def test_a_report_of_a_running_search_is_made_anew_when_a_level_is_committed(record: Record) -> None:
    search, truth = await start(record)
    await commit(record, search, truth.lineages[0], 0)
    assert await record.request_derived(TENANT, search, "report", "html") is None
    first = await make(record, "one level")
    assert await record.request_derived(TENANT, search, "report", "html") == first
    await commit(record, search, truth.lineages[0], 1)
    job = await record.derived_job(TENANT, search, "report", "html")
    assert await record.derived(job) is None
    assert await record.derived(job, older=True) == first
    assert await record.ask_derived(job) is None
    second = await make(record, "two levels")
    assert await record.derived(job) == second != first


async def test_a_report_waits_once_however_often_levels_are_committed_meanwhile(record: Record) -> None:
    search, truth = await start(record)
    for level in range(3):
        await commit(record, search, truth.lineages[0], level)
        assert await record.request_derived(TENANT, search, "report", "json") is None
    assert await record.num_derived_waiting() == 1
    job = await record.next_derived(0.0)
    assert job is not None
    assert job.version == "3"


async def test_an_old_failure_is_no_answer_for_a_search_that_went_on(record: Record) -> None:
    search, truth = await start(record)
    await commit(record, search, truth.lineages[0], 0)
    await record.request_derived(TENANT, search, "analysis", "barrier")
    job = await record.next_derived(0.0)
    assert job is not None
    await record.finish_derived(job, None, error="there is one level only")
    await commit(record, search, truth.lineages[0], 1)
    now = await record.derived_job(TENANT, search, "analysis", "barrier")
    assert await record.derived(now, older=True) is None
    assert await record.ask_derived(now) is None


async def test_a_job_that_is_not_finished_comes_back_unless_it_is_held(
    record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    search, _ = await begun(record)
    await record.request_derived(TENANT, search, "analysis", "signs")
    monkeypatch.setattr(derived, "LEASE_MS", 1)
    job = await record.next_derived(0.0)
    assert job is not None
    assert await record.next_derived(1.0) == job
    monkeypatch.setattr(derived, "LEASE_MS", 60_000)
    await record.hold_derived(job)
    assert await record.next_derived(0.3) is None


async def test_a_job_over_which_workers_die_is_given_up(record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    search, _ = await begun(record)
    await record.request_derived(TENANT, search, "analysis", "signs")
    monkeypatch.setattr(derived, "LEASE_MS", 0)
    for _ in range(derived.MAX_TRIES):
        assert await record.next_derived(1.0) is not None
    assert await record.next_derived(0.3) is None
    with pytest.raises(NotPossible, match="3 workers died"):
        await record.request_derived(TENANT, search, "analysis", "signs")


async def test_holding_a_finished_job_does_not_queue_it_again(record: Record) -> None:
    search, _ = await begun(record)
    await record.request_derived(TENANT, search, "analysis", "signs")
    job = await record.next_derived(0.0)
    assert job is not None
    await record.finish_derived(job, None, error="no")
    await record.hold_derived(job)
    assert await record.num_derived_waiting() == 0


@pytest.mark.parametrize("of", ["search", "ticket"])
async def test_results_of_an_ended_search_survive_the_index(open_record: OpenRecord, of: str) -> None:
    async with open_record() as record:
        search, ticket = await ended(record)
        subject = search if of == "search" else ticket
        assert await record.request_derived(TENANT, subject, "analysis", "overlap") is None
        made = await make(record, "for good")
        assert await record.request_derived(TENANT, subject, "analysis", "overlap") == made
        standing = json.loads(await record.objects.get(keys.derived(TENANT, search, subject, "analysis", "overlap")))
        assert (standing["sha256"], standing["format"]) == (made.sha256, 1)
        before = await record.index.generation()
        await record.rebuild()
        assert await record.index.generation() != before
        assert await record.request_derived(TENANT, subject, "analysis", "overlap") == made
        assert await record.num_derived_waiting() == 0


async def test_exports_and_running_analyses_are_made_again_after_a_rebuild(record: Record) -> None:
    search, ticket = await begun(record)
    wanted: list[tuple[str, Kind, str]] = [(ticket, "export", "open_lth"), (search, "analysis", "signs")]
    for subject, kind, name in wanted:
        await record.request_derived(TENANT, subject, kind, name)
        await make(record, f"{name} of {subject}")
    await record.rebuild()
    for subject, kind, name in wanted:
        assert await record.request_derived(TENANT, subject, kind, name) is None
        again = await make(record, f"{name} of {subject}")
        assert await record.request_derived(TENANT, subject, kind, name) == again


async def test_of_two_workers_who_make_a_result_the_first_stands(record: Record) -> None:
    search, _ = await ended(record)
    await record.request_derived(TENANT, search, "report", "html")
    job = await record.next_derived(0.0)
    assert job is not None
    first, second = [await record.objects.put_blob(TENANT, text) for text in (b"first", b"second")]
    await record.finish_derived(job, first)
    await record.finish_derived(job, second)
    assert await record.request_derived(TENANT, search, "report", "html") == first


async def test_bytes_that_were_swept_away_are_made_again(record: Record) -> None:
    search, ticket = await ended(record)
    wanted: list[tuple[str, Kind, str]] = [(ticket, "export", "open_lth"), (search, "report", "csv")]
    for subject, kind, name in wanted:
        await record.request_derived(TENANT, subject, kind, name)
        made = await make(record, f"{name} of {subject}")
        await record.objects.delete(keys.blob(TENANT, made.sha256))
        assert await record.request_derived(TENANT, subject, kind, name) is None
        assert await make(record, f"{name} of {subject}") == made
        assert await record.request_derived(TENANT, subject, kind, name) == made


async def test_a_kept_result_needs_no_index_and_anything_else_says_that_it_does(
    open_record: OpenRecord, valkey_server: ValkeyServer
) -> None:
    async with open_record(redis_url=valkey_server.url) as record:
        search, ticket = await ended(record)
        await record.request_derived(TENANT, search, "report", "html")
        made = await make(record, "the report")
        valkey_server.kill()
        assert await record.request_derived(TENANT, search, "report", "html") == made
        with pytest.raises(RedisUnavailable):
            await record.request_derived(TENANT, search, "report", "csv")
        with pytest.raises(RedisUnavailable):
            await record.request_derived(TENANT, ticket, "export", "open_lth")
