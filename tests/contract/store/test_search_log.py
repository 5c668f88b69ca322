"""The search log on every store: the next number decides, and nobody decides on a state he has not read."""

from __future__ import annotations

import asyncio

import pytest

from service.store import keys
from service.store.errors import StaleEpoch, StoreUnavailable
from service.store.log import FIRST_RECORD, LogState, fold
from service.store.logbook import Draft, Logbook
from service.store.objects import ObjectStore

pytestmark = pytest.mark.anyio
SEARCH = "srch_01M818AAB20GX731VMRNSBV2H5"


def rung(name: str, epoch: int) -> Draft:
    return Draft("rung", f"rung:{name}", {"name": name}, epoch)


def end(status: str, epoch: int) -> Draft:
    return Draft("terminal", f"terminal:{epoch}", {"status": status, "reason": None, "results": None}, epoch)


async def test_what_one_process_appends_another_reads(objects: ObjectStore) -> None:
    await Logbook(objects).append("local", SEARCH, lambda _: rung("a", 1))
    records = await Logbook(objects).read("local", SEARCH)
    assert [(record.n, record.type) for record in records] == [(FIRST_RECORD, "take-over"), (FIRST_RECORD + 1, "rung")]


async def test_racing_writers_all_get_a_number_of_their_own(objects: ObjectStore) -> None:
    books = [Logbook(objects.connect_anew()) for _ in range(6)]
    await asyncio.gather(
        *(book.append("local", SEARCH, lambda _, i=i: rung(str(i), 1)) for i, book in enumerate(books))
    )
    records = await Logbook(objects).read("local", SEARCH)
    assert [record.n for record in records] == list(range(FIRST_RECORD, FIRST_RECORD + 7))
    assert sorted(record.data["name"] for record in records if record.type == "rung") == list("012345")


async def test_of_racing_ends_exactly_one_stands_and_all_see_it(objects: ObjectStore) -> None:
    def decide(status: str, state: LogState) -> Draft | None:
        return None if state.terminal else end(status, 1)

    books = [Logbook(objects.connect_anew()) for _ in range(6)]
    statuses = ["succeeded", "failed", "partial"] * 2
    answers = await asyncio.gather(
        *(
            book.append("local", SEARCH, lambda state, s=s: decide(s, state))
            for book, s in zip(books, statuses, strict=True)
        )
    )
    ends = {answer.state.terminal for answer in answers}
    records = await Logbook(objects).read("local", SEARCH)
    assert len(ends) == 1
    assert [record.type for record in records].count("terminal") == 1
    assert fold(records).terminal in ends


async def test_a_writer_decides_anew_when_a_wish_to_cancel_came_first(objects: ObjectStore) -> None:
    leader, client = Logbook(objects), Logbook(objects)
    await leader.append("local", SEARCH, lambda _: rung("a", 1))
    seen: list[str | None] = []

    async def cancel() -> None:
        await client.append("local", SEARCH, lambda _: Draft("cancel", "cancel:kill", {"mode": "kill"}))

    pending: list[asyncio.Task[None]] = []
    original = objects.put_if_absent

    async def put_after_the_client(key: str, data: bytes) -> tuple[bytes, bool]:
        if not pending:
            pending.append(asyncio.create_task(cancel()))
            await pending[0]
        return await original(key, data)

    def decide(state: LogState) -> Draft | None:
        seen.append(state.wish)
        if state.terminal:
            return None
        return end("cancelled" if state.wish else "succeeded", 1)

    slow = Logbook(objects)
    slow._objects = _Delaying(objects, put_after_the_client)  # type: ignore[assignment]
    appended = await slow.append("local", SEARCH, decide)
    assert seen[:2] == [None, "cancel"]
    assert appended.state.terminal is not None
    assert appended.state.terminal.status == "cancelled"


class _Delaying:
    """A store in front of which something happens before the first put."""

    def __init__(self, objects: ObjectStore, put: object) -> None:
        self.get, self.list, self.put_if_absent = objects.get, objects.list, put


async def test_a_leader_whose_search_was_taken_over_is_refused(objects: ObjectStore) -> None:
    old, new = Logbook(objects), Logbook(objects)
    await old.append("local", SEARCH, lambda _: rung("a", 1))
    await new.append("local", SEARCH, lambda _: rung("b", 2))
    with pytest.raises(StaleEpoch):
        await old.append("local", SEARCH, lambda _: end("failed", 1))
    assert fold(await new.read("local", SEARCH)).terminal is None


async def test_a_deed_whose_answer_was_lost_is_not_done_twice(objects: ObjectStore) -> None:
    await Logbook(objects).append("local", SEARCH, lambda _: rung("a", 1))
    again = await Logbook(objects).append("local", SEARCH, lambda _: rung("a", 1))
    assert again.record is not None
    assert again.written == ()
    assert len(again.records) == 2


async def test_an_own_record_whose_answer_was_lost_counts_as_written(objects: ObjectStore) -> None:
    class Forgetful(ObjectStore):
        """A store that puts and then says it does not know."""

        async def create(self, key: str, data: bytes) -> bool:
            await super().create(key, data)
            raise StoreUnavailable("the answer was lost")

    forgetful = Forgetful(objects._backend)
    appended = await Logbook(forgetful).append("local", SEARCH, lambda _: rung("a", 1))
    assert [record.type for record in appended.written] == ["take-over", "rung"]
    assert len(await objects.list(keys.log("local", SEARCH))) == 2


async def test_a_gap_in_a_log_is_reported_and_never_guessed_over(objects: ObjectStore) -> None:
    for name in "abc":
        await Logbook(objects).append("local", SEARCH, lambda _, name=name: rung(name, 1))
    await objects.delete(keys.log_record("local", SEARCH, FIRST_RECORD + 1))
    with pytest.raises(StoreUnavailable, match="missing"):
        await Logbook(objects).read("local", SEARCH)
