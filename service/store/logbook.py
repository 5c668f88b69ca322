"""Appending to a search's log: the put-if-absent of the next number is the compare-and-set."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from service.store import clock, keys
from service.store.errors import ObjectNotFound, StaleEpoch, StoreUnavailable
from service.store.log import FIRST_RECORD, LogRecord, LogState, fold, is_stale
from service.store.objects import ObjectStore

MAX_CACHED_LOGS = 1024
MAX_LOST_RACES = 1000


@dataclass(frozen=True)
class Draft:
    """A record before it has a number: what its writer decided on the state he read."""

    type: str
    op_id: str
    data: Mapping[str, Any] = field(default_factory=dict)
    epoch: int | None = None


@dataclass(frozen=True)
class Appended:
    """What an append came to.

    Attributes:
        state: The log's state with everything that stands now.
        records: All records, in order.
        record: The record that holds the deed, None if there was nothing to record.
        written: The records that this append put itself.
    """

    state: LogState
    records: tuple[LogRecord, ...]
    record: LogRecord | None
    written: tuple[LogRecord, ...]


Decide = Callable[[LogState], Draft | None]


class Logbook:
    """The logs of all searches; what was read once is kept, for records never change."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects
        self._known: OrderedDict[tuple[str, str], tuple[LogRecord, ...]] = OrderedDict()

    async def read(self, tenant: str, search_id: str) -> tuple[LogRecord, ...]:
        """Read a log to its end; the end is found by asking for the next number, not by listing.

        Raises:
            StoreUnavailable: If the store cannot say.
            UnknownFormat: If a later version wrote a record.
        """
        known = self._known.get((tenant, search_id), ())
        if not known:
            known = await self._read_listed(tenant, search_id)
        while True:
            number = known[-1].n + 1 if known else FIRST_RECORD
            try:
                raw = await self._objects.get(keys.log_record(tenant, search_id, number))
            except ObjectNotFound:
                return self._keep(tenant, search_id, known)
            known = (*known, LogRecord.from_bytes(raw))

    async def append(self, tenant: str, search_id: str, decide: Decide) -> Appended:
        """Append what `decide` makes of the log's state, deciding anew whenever another record came first.

        A draft of a leader is preceded by his `take-over` if the log does not hold it yet.

        Raises:
            StaleEpoch: If a higher epoch than the draft's has taken over.
            StoreUnavailable: If the store cannot say what stands.
        """
        records = await self.read(tenant, search_id)
        written: list[LogRecord] = []
        for _ in range(MAX_LOST_RACES):
            state = fold(records)
            draft = decide(state)
            if draft is None:
                return Appended(state, records, None, tuple(written))
            if draft.op_id in state.op_ids:
                done = next(record for record in records if record.op_id == draft.op_id)
                return Appended(state, records, done, tuple(written))
            draft = _fenced(state, draft)
            record, ours = await self._put(tenant, search_id, len(records) + FIRST_RECORD, draft)
            records = self._keep(tenant, search_id, (*records, record))
            if ours:
                written.append(record)
        raise StoreUnavailable(f"{search_id}: lost {MAX_LOST_RACES} races for the next record")

    async def _put(self, tenant: str, search_id: str, number: int, draft: Draft) -> tuple[LogRecord, bool]:
        """Put a draft under a number; return the record that stands there and whether it is this deed."""
        at = clock.to_text(clock.now())
        record = LogRecord(number, draft.type, draft.op_id, at, draft.epoch, draft.data)
        standing, ours = await self._objects.put_if_absent(
            keys.log_record(tenant, search_id, number), record.to_bytes()
        )
        if ours:
            return record, True
        other = LogRecord.from_bytes(standing)
        return other, other.op_id == draft.op_id

    async def _read_listed(self, tenant: str, search_id: str) -> tuple[LogRecord, ...]:
        """Fetch what a listing shows, all at once; the listing is a hint for the start."""
        numbers = [keys.number_of(key) for key in await self._objects.list(keys.log(tenant, search_id))]
        last = max((number for number in numbers if number is not None), default=SPEC_ONLY)
        names = [keys.log_record(tenant, search_id, number) for number in range(FIRST_RECORD, last + 1)]
        try:
            raws = await asyncio.gather(*(self._objects.get(name) for name in names))
        except ObjectNotFound as error:
            raise StoreUnavailable(f"{search_id}: a record of the log is missing: {error}") from error
        return tuple(LogRecord.from_bytes(raw) for raw in raws)

    def _keep(self, tenant: str, search_id: str, records: tuple[LogRecord, ...]) -> tuple[LogRecord, ...]:
        if len(records) >= len(self._known.get((tenant, search_id), ())):
            self._known[tenant, search_id] = records
        self._known.move_to_end((tenant, search_id))
        while len(self._known) > MAX_CACHED_LOGS:
            self._known.popitem(last=False)
        return records


SPEC_ONLY = FIRST_RECORD - 1


def _fenced(state: LogState, draft: Draft) -> Draft:
    """Return the draft, or the take-over that must come before it.

    Raises:
        StaleEpoch: If a higher epoch has taken over.
    """
    if draft.epoch is None:
        return draft
    if is_stale(state, draft.epoch):
        raise StaleEpoch(f"epoch {draft.epoch} was overtaken by epoch {state.epoch}")
    if state.epoch is None or state.epoch < draft.epoch:
        return take_over(draft.epoch)
    return draft


def take_over(epoch: int) -> Draft:
    """Draft the record by which a leader makes a search his."""
    return Draft("take-over", f"take-over:{epoch}", {}, epoch)
