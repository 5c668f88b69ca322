"""Exports asked for are made once, kept as blobs, and the worker ends when nothing is left to do."""

from __future__ import annotations

import asyncio
import io
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
from service.store.errors import ExportFailed, NotFound
from service.store.objects import BlobRef
from service.store.record import Record
from tests.support.chains import TENANT, Computed, small_submission
from tests.support.committed import commit_search, ticket_of
from workers import exports
from workers.export_making import make_export
from workers.exports import drain

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
            assert await record.request_export(TENANT, ticket, form) is None
            assert await record.request_export(TENANT, ticket, form) is None
        assert await record.num_exports_waiting() == 2
        assert await drain(record, idle_s=0.5) == 2
        assert await record.num_exports_waiting() == 0
        refs = [await record.request_export(TENANT, ticket, form) for form in ("torch_prune", "open_lth")]
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
        assert await record.request_export(TENANT, tickets["winning_ticket"], "torch_prune") is None
        assert await drain(record, idle_s=0.3) == 1
        with pytest.raises(ExportFailed, match="does not match its digest"):
            await record.request_export(TENANT, tickets["winning_ticket"], "torch_prune")

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
        await record.request_export(TENANT, tickets["winning_ticket"], "open_lth")
        return tickets["winning_ticket"]

    ticket = with_record(settings, ask)
    began_s = time.monotonic()
    assert exports.main(["--idle", "0.5"]) == 0
    assert time.monotonic() - began_s < 20

    async def answer(record: Record) -> BlobRef | None:
        return await record.request_export(TENANT, ticket, "open_lth")

    assert with_record(settings, answer) is not None


def test_the_command_without_redis_is_exit_1(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LTH_REDIS_URL", f"unix://{settings.home}/nowhere.sock")
    assert exports.main(["--idle", "0.5"]) == 1
