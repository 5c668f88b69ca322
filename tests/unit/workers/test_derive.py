"""What is asked for is made once, kept as blobs, and the worker ends when nothing is left to do."""

from __future__ import annotations

import asyncio
import io
import json
import time
import zipfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
from safetensors.numpy import load

from lth_core.masks import unpack_mask
from service.settings import Settings
from service.store import keys
from service.store.errors import ExportFailed, NotFound, NotPossible
from service.store.jobs import Job, Kind
from service.store.objects import BlobRef
from service.store.record import Record
from tests.support.chains import TENANT, Computed, small_submission
from tests.support.committed import commit_search, ticket_of
from workers import derive
from workers.derive import drain
from workers.export_making import make_export

T = TypeVar("T")
LEVEL = 2


@pytest.fixture
def settings(tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A record of its own: a folder of objects and an empty Valkey, also for commands."""
    monkeypatch.setenv("LTH_HOME", str(tmp_path))
    monkeypatch.setenv("LTH_REDIS_URL", redis_url)
    monkeypatch.delenv("LTH_STORE_URL", raising=False)
    return Settings()


def with_record(settings: Settings, work: Callable[[Record], Awaitable[T]]) -> T:
    async def run() -> T:
        record = await Record.open(settings, check=False)
        try:
            return await work(record)
        finally:
            await record.close()

    return asyncio.run(run())


async def committed(record: Record, keep: str = "tickets") -> tuple[Computed, dict[str, str]]:
    search, computed = await commit_search(record, small_submission(keep=keep))
    return computed, {own.spec.treatment: await ticket_of(record, search, own, LEVEL) for own in computed.lineages}


def test_both_formats_are_made_and_kept(settings: Settings) -> None:
    async def work(record: Record) -> None:
        computed, tickets = await committed(record)
        ticket = tickets["winning_ticket"]
        for form in ("torch_prune", "open_lth"):
            assert await record.request_derived(TENANT, ticket, "export", form) is None
            assert await record.request_derived(TENANT, ticket, "export", form) is None
        assert await record.num_derived_waiting() == 2
        assert await drain(record, idle_s=0.5) == 2
        assert await record.num_derived_waiting() == 0
        refs = [await record.request_derived(TENANT, ticket, "export", form) for form in ("torch_prune", "open_lth")]
        blobs = [await record.blob(TENANT, ref.sha256) for ref in refs if ref is not None]
        lineage = computed.lineage("winning_ticket")
        manifest = computed.manifests[lineage.key, LEVEL]
        mask = unpack_mask(computed.blobs[manifest["stored"]["mask"]["sha256"]], lineage.spec.tensors())
        assert np.array_equal(load(blobs[0])["fc1.weight_mask"].astype(bool), mask["fc1.weight"])
        assert f"level_{LEVEL}/main/mask.pth" in zipfile.ZipFile(io.BytesIO(blobs[1])).namelist()

    with_record(settings, work)


@pytest.mark.parametrize("treatment", ["winning_ticket", "random_reinit", "shuffled_mask"])
def test_an_export_does_not_depend_on_what_was_kept(settings: Settings, treatment: str) -> None:
    async def work(record: Record) -> None:
        made = []
        for keep in ("masks", "all"):
            _, tickets = await committed(record, keep)
            made.append(await make_export(record, TENANT, tickets[treatment], "torch_prune"))
        assert made[0] == made[1]

    with_record(settings, work)


def test_an_export_of_damaged_bytes_fails_with_its_reason(settings: Settings) -> None:
    async def work(record: Record) -> None:
        computed, tickets = await committed(record)
        manifest = computed.manifests[computed.lineage("winning_ticket").key, LEVEL]
        key = keys.blob(TENANT, manifest["stored"]["mask"]["sha256"])
        (Path(settings.store_url.removeprefix("file://")) / key).write_bytes(b"other")
        assert await record.request_derived(TENANT, tickets["winning_ticket"], "export", "torch_prune") is None
        assert await drain(record, idle_s=0.3) == 1
        with pytest.raises(ExportFailed, match="does not match its digest"):
            await record.request_derived(TENANT, tickets["winning_ticket"], "export", "torch_prune")

    with_record(settings, work)


def test_an_unknown_format_or_ticket_is_refused(settings: Settings) -> None:
    async def work(record: Record) -> None:
        _, tickets = await committed(record)
        with pytest.raises(ValueError, match="format must be one of torch_prune, open_lth, got 'onnx'"):
            await make_export(record, TENANT, tickets["winning_ticket"], "onnx")
        with pytest.raises(NotFound):
            await make_export(record, "other", tickets["winning_ticket"], "open_lth")

    with_record(settings, work)


def test_the_command_ends_by_itself_when_idle(settings: Settings) -> None:
    async def ask(record: Record) -> str:
        _, tickets = await committed(record)
        await record.request_derived(TENANT, tickets["winning_ticket"], "export", "open_lth")
        return tickets["winning_ticket"]

    ticket = with_record(settings, ask)
    began_s = time.monotonic()
    assert derive.main(["--idle", "0.5"]) == 0
    assert time.monotonic() - began_s < 20

    async def answer(record: Record) -> BlobRef | None:
        return await record.request_derived(TENANT, ticket, "export", "open_lth")

    assert with_record(settings, answer) is not None


def test_the_command_without_redis_is_exit_1(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LTH_REDIS_URL", f"unix://{settings.home}/nowhere.sock")
    assert derive.main(["--idle", "0.5"]) == 1


async def refuses(record: Record, job: Job) -> bytes:
    """A maker for which some things are not possible, and others go wrong."""
    if job.name == "barrier":
        raise ValueError("final weights are kept for fewer than two levels")
    if job.name == "signs":
        raise KeyError("stored")
    return f"{job.kind} {job.name} at {job.version}".encode()


def test_a_report_and_an_analysis_are_made_by_their_maker(settings: Settings) -> None:
    async def work(record: Record) -> None:
        search, _ = await commit_search(record, small_submission())
        wanted: list[tuple[Kind, str]] = [("analysis", "overlap"), ("report", "figure-accuracy.svg")]
        for kind, name in wanted:
            assert await record.request_derived(TENANT, search, kind, name) is None
        assert await drain(record, idle_s=0.3, maker=refuses) == 2
        for kind, name in wanted:
            ref = await record.request_derived(TENANT, search, kind, name)
            assert ref is not None
            assert await record.blob(TENANT, ref.sha256) == f"{kind} {name} at final".encode()

    with_record(settings, work)


def test_what_is_not_possible_is_answered_by_its_sentence_and_what_is_unforeseen_by_its_name(
    settings: Settings,
) -> None:
    async def work(record: Record) -> None:
        search, _ = await commit_search(record, small_submission())
        for name in ("barrier", "signs"):
            await record.request_derived(TENANT, search, "analysis", name)
        assert await drain(record, idle_s=0.3, maker=refuses) == 2
        with pytest.raises(NotPossible, match=r"^final weights are kept for fewer than two levels$"):
            await record.request_derived(TENANT, search, "analysis", "barrier")
        with pytest.raises(NotPossible, match="unforeseen with KeyError"):
            await record.request_derived(TENANT, search, "analysis", "signs")

    with_record(settings, work)


def test_a_job_is_held_while_it_takes_long(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.store.derived.LEASE_MS", 300)
    monkeypatch.setattr(derive, "HOLD_EVERY_S", 0.05)

    async def slow(record: Record, job: Job) -> bytes:
        await asyncio.sleep(0.8)
        assert await record.next_derived(0.0) is None
        return b"slow"

    async def work(record: Record) -> None:
        search, _ = await commit_search(record, small_submission())
        await record.request_derived(TENANT, search, "report", "html")
        assert await drain(record, idle_s=0.3, maker=slow) == 1
        assert await record.request_derived(TENANT, search, "report", "html") is not None

    with_record(settings, work)


def test_the_command_makes_a_real_analysis_and_a_real_report(settings: Settings) -> None:
    async def ask(record: Record) -> str:
        search, _ = await commit_search(record, small_submission())
        await record.request_derived(TENANT, search, "analysis", "overlap")
        await record.request_derived(TENANT, search, "report", "markdown")
        return search

    search = with_record(settings, ask)
    assert derive.main(["--idle", "0.5"]) == 0

    async def read(record: Record) -> tuple[bytes, bytes]:
        refs = [
            await record.request_derived(TENANT, search, "analysis", "overlap"),
            await record.request_derived(TENANT, search, "report", "markdown"),
        ]
        first, second = [await record.blob(TENANT, ref.sha256) for ref in refs if ref is not None]
        return first, second

    analysis, report = with_record(settings, read)
    assert json.loads(analysis)["object"] == "analysis"
    assert json.loads(analysis)["subject"] == search
    assert report.startswith(b"#")
    assert search.encode() in report
