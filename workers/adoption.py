"""What a driver finds when it starts: committed levels of all its lineages, checked, and the board that follows."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from service.store.record import Record
from service.store.work import SearchTruth
from workers.board import Board, End, LevelNote
from workers.chains import BrokenChain, committed
from workers.patience import persist
from workers.schedulers import Trials, judge_of

MAX_READS = 16
PATIENCE_S = 600.0


@dataclass(frozen=True)
class Adopted:
    """The start of a driver's work.

    Attributes:
        board: The lineages in the state that record and log give them.
        manifests: Committed levels by key.
    """

    board: Board
    manifests: dict[str, dict[int, dict[str, Any]]]


async def adopt(record: Record, truth: SearchTruth, epoch: int) -> Adopted:
    """Read what is committed, check the chains, replay the log, and announce levels of other searches.

    Raises:
        StaleEpoch: If a later leader has been seen.
        StoreUnavailable: If the store stays down.
    """
    manifests = await _read_all(record, truth)
    num_levels = max(plan.spec.prune.levels for plan in truth.lineages)
    trials = Trials(judge_of(truth.submission.spec.scheduler, num_levels), truth.log.rungs)
    board = Board(truth.lineages, truth.lineage_ids, trials)
    broken: list[End] = []
    for plan in truth.lineages:
        try:
            chain = committed(plan, manifests)
        except BrokenChain as error:
            lineage = truth.lineage_ids[plan.key]
            detail = {"class": "divergence", "message": str(error), "level": None, "step": None}
            broken.append(End(lineage, "failed", "divergence", detail))
            continue
        for manifest in chain:
            core = manifest["core"]
            note = LevelNote(core["collapsed"], core["metrics"]["val_accuracy"])
            board.adopt(core["key"], core["level"], note)
            if manifest["search"] != truth.id:
                await record.announce_level(truth.tenant, truth.id, core["key"], dict(manifest), epoch)
    logged = [
        End(outcome.lineage, _state(outcome.status), outcome.reason, dict(outcome.error) if outcome.error else None)
        for outcome in truth.log.outcomes.values()
    ]
    for end in broken:
        op_id = f"outcome:{end.lineage}:{end.status}"
        await record.append(truth.tenant, truth.id, "outcome", end.to_data(), op_id, epoch)
    board.recall([*logged, *broken])
    return Adopted(board, manifests)


async def _read_all(record: Record, truth: SearchTruth) -> dict[str, dict[int, dict[str, Any]]]:
    gate = asyncio.Semaphore(MAX_READS)

    async def read(key: str) -> dict[int, dict[str, Any]]:
        async with gate:
            return await persist(lambda: record.manifests(truth.tenant, key), PATIENCE_S)

    keys = truth.plan.keys
    return dict(zip(keys, await asyncio.gather(*(read(key) for key in keys)), strict=True))


def _state(status: str) -> Any:
    return status
