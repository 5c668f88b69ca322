"""Tickets committed to a real record verify, and damage to what is stored is found."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from lth_core.canonical import canonical_json
from lth_core.manifest import core_digest
from service.settings import Settings
from service.store import keys
from service.store.errors import NotFound
from service.store.record import Record
from tests.support.chains import TENANT, Computed, small_submission
from tests.support.committed import commit_search, ticket_of
from workers import verify
from workers.report import Report
from workers.verify import verify_ticket

T = TypeVar("T")
LEVEL = 3


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


def commit(settings: Settings, *, keep: str = "tickets") -> tuple[Computed, dict[str, str]]:
    """Commit a small search and return it with its tickets of the last level by treatment."""

    async def work(record: Record) -> tuple[Computed, dict[str, str]]:
        search, computed = await commit_search(record, small_submission(keep=keep))
        tickets = {own.spec.treatment: await ticket_of(record, search, own, LEVEL) for own in computed.lineages}
        return computed, tickets

    return with_record(settings, work)


def check(settings: Settings, ticket: str, *, retrain: bool = False) -> Report:
    return with_record(settings, lambda record: verify_ticket(record, TENANT, ticket, retrain=retrain))


def failed(report: Report) -> set[str]:
    return {one.name for one in report.checks if one.status == "fail"}


def stored(settings: Settings, key: str) -> Path:
    return Path(settings.store_url.removeprefix("file://")) / key


def test_the_best_ticket_and_its_controls_verify(settings: Settings) -> None:
    _, tickets = commit(settings)
    best = check(settings, tickets["winning_ticket"], retrain=True)
    assert {one.status for one in best.checks} == {"pass"}, best.checks
    for treatment in ("random_reinit", "random_mask", "shuffled_mask"):
        report = check(settings, tickets[treatment])
        assert report.ok, report.checks
        assert report.status("control") == "pass"
        assert report.status("accuracy at the end") == "skipped"


def test_a_ticket_verifies_while_redis_is_empty_or_gone(settings: Settings, tmp_path: Path) -> None:
    _, tickets = commit(settings)
    alone = Settings(redis_url=f"unix://{tmp_path}/nowhere.sock")
    assert check(alone, tickets["winning_ticket"]).ok


def test_a_flipped_bit_in_any_blob_is_found(settings: Settings) -> None:
    computed, tickets = commit(settings)
    chain = computed.chain(computed.lineage("winning_ticket"), LEVEL)
    for level, part in ((0, "final"), (1, "mask"), (2, "curves"), (3, "rewind")):
        path = stored(settings, keys.blob(TENANT, chain[level]["stored"][part]["sha256"]))
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        report = check(settings, tickets["winning_ticket"])
        assert "digests" in failed(report), (level, part)
        path.write_bytes(content)
    assert check(settings, tickets["winning_ticket"]).ok


def test_a_blob_that_is_gone_is_found(settings: Settings) -> None:
    computed, tickets = commit(settings)
    chain = computed.chain(computed.lineage("winning_ticket"), LEVEL)
    stored(settings, keys.blob(TENANT, chain[2]["stored"]["mask"]["sha256"])).unlink()
    report = check(settings, tickets["winning_ticket"])
    assert "digests" in failed(report)
    assert "is gone" in next(one.detail for one in report.checks if one.name == "digests")


def test_an_edited_manifest_is_found(settings: Settings) -> None:
    computed, tickets = commit(settings)
    lineage = computed.lineage("winning_ticket")
    path = stored(settings, keys.manifest(TENANT, lineage.key, 2))
    manifest = json.loads(path.read_bytes())
    manifest["core"]["metrics"]["test_accuracy"] = 1.0
    path.write_bytes(canonical_json(manifest))
    assert "manifests" in failed(check(settings, tickets["winning_ticket"]))
    manifest["core_sha256"] = core_digest(manifest["core"])
    path.write_bytes(canonical_json(manifest))
    report = check(settings, tickets["winning_ticket"])
    assert "parent" in next(one.detail for one in report.checks if one.name == "manifests")


def test_a_mask_of_another_level_breaks_nesting(settings: Settings) -> None:
    computed, tickets = commit(settings)
    lineage = computed.lineage("winning_ticket")
    first, second = (computed.manifests[lineage.key, level] for level in (1, 2))
    path = stored(settings, keys.manifest(TENANT, lineage.key, 1))
    swapped = {**first, "core": {**first["core"], "digests": {**first["core"]["digests"]}}}
    swapped["core"]["digests"]["mask"] = second["core"]["digests"]["mask"]
    swapped["stored"] = {**first["stored"], "mask": second["stored"]["mask"]}
    path.write_bytes(canonical_json(swapped))
    assert {"manifests", "counts", "count rule", "selection"} <= failed(check(settings, tickets["winning_ticket"]))


def test_a_manifest_that_is_not_json_or_is_gone_fails_the_record(settings: Settings) -> None:
    computed, tickets = commit(settings)
    path = stored(settings, keys.manifest(TENANT, computed.lineage("winning_ticket").key, 2))
    content = path.read_bytes()
    path.write_bytes(content[:100])
    assert failed(check(settings, tickets["winning_ticket"])) == {"record"}
    path.unlink()
    assert failed(check(settings, tickets["winning_ticket"])) == {"record"}


def test_another_tenant_s_ticket_is_unknown(settings: Settings) -> None:
    _, tickets = commit(settings)
    with pytest.raises(NotFound):
        with_record(settings, lambda record: verify_ticket(record, "other", tickets["winning_ticket"]))


def test_the_command_says_it_by_table_json_and_exit_code(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    computed, tickets = commit(settings, keep="masks")
    assert verify.main([tickets["winning_ticket"]]) == 0
    assert "rewind weights" in capsys.readouterr().out
    assert verify.main([tickets["random_reinit"], "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] is True
    assert document["ticket"] == tickets["random_reinit"]
    manifest = computed.manifests[computed.lineage("random_reinit").key, 1]
    stored(settings, keys.blob(TENANT, manifest["stored"]["mask"]["sha256"])).write_bytes(b"other")
    assert verify.main([tickets["random_reinit"], "--json"]) == 9
    assert json.loads(capsys.readouterr().out)["ok"] is False
    assert verify.main(["tkt_01M819GX8CWEWRMKD33897TJYY"]) == 7
    assert "no ticket" in capsys.readouterr().err
