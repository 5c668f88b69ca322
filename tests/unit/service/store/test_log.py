"""The search log as a pure function."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.store.errors import StaleEpoch, UnknownFormat
from service.store.log import FIRST_RECORD, MODES, TERMINAL, LogRecord, LogState, fold
from service.store.logbook import Draft, _fenced

AT = "2026-11-22T09:10:11.042Z"


def numbered(*drafts: Draft) -> list[LogRecord]:
    return [
        LogRecord(number, draft.type, draft.op_id, AT, draft.epoch, draft.data)
        for number, draft in enumerate(drafts, FIRST_RECORD)
    ]


def take_over(epoch: int) -> Draft:
    return Draft("take-over", f"take-over:{epoch}", {}, epoch)


def cancel(mode: str) -> Draft:
    return Draft("cancel", f"cancel:{mode}", {"mode": mode})


def outcome(lineage: str, status: str, epoch: int) -> Draft:
    return Draft("outcome", f"outcome:{lineage}:{status}:{epoch}", {"lineage": lineage, "status": status}, epoch)


def terminal(status: str, epoch: int) -> Draft:
    return Draft("terminal", f"terminal:{epoch}:{status}", {"status": status, "reason": None, "results": None}, epoch)


epochs = st.integers(1, 4)
drafts = st.one_of(
    epochs.map(take_over),
    st.sampled_from(MODES).map(cancel),
    st.builds(outcome, st.sampled_from(["a", "b"]), st.sampled_from(["stopped", "failed"]), epochs),
    st.builds(terminal, st.sampled_from(sorted(TERMINAL)), epochs),
    epochs.map(lambda epoch: Draft("rung", f"rung:{epoch}", {"level": 1}, epoch)),
)
logs = st.lists(drafts, max_size=12).map(lambda found: numbered(*found))


def test_a_search_without_records_is_at_revision_one() -> None:
    assert fold([]) == LogState()
    assert fold([]).revision == 1


def test_the_revision_is_the_number_of_the_last_record() -> None:
    records = numbered(take_over(1), cancel("kill"))
    assert fold(records).revision == records[-1].n == 3


@given(logs, st.lists(drafts, max_size=6))
def test_no_later_record_changes_the_end(log: list[LogRecord], later: list[Draft]) -> None:
    end = fold(log).terminal
    more = numbered(*[Draft(r.type, r.op_id, r.data, r.epoch) for r in log], *later)
    if end is not None:
        after = fold(more)
        assert after.terminal == end
        assert after.outcomes == fold(log).outcomes


@given(logs)
def test_after_a_wish_to_cancel_the_only_end_is_cancelled(log: list[LogRecord]) -> None:
    state = fold(log)
    if state.terminal is not None:
        assert (state.terminal.status == "cancelled") == (state.wish == "cancel")


@given(logs)
def test_the_epoch_never_falls_and_the_mode_never_softens(log: list[LogRecord]) -> None:
    states = [fold(log[:n]) for n in range(len(log) + 1)]
    for before, after in pairwise(states):
        assert (after.epoch or 0) >= (before.epoch or 0)
        if before.mode is not None and after.mode is not None:
            assert MODES.index(after.mode) >= MODES.index(before.mode)


@given(logs)
def test_a_record_of_an_overtaken_leader_counts_for_nothing(log: list[LogRecord]) -> None:
    highest = 0
    kept = []
    for record in log:
        if record.epoch is not None and record.epoch < highest:
            continue
        if record.type == "take-over" and fold(kept).terminal is None:
            highest = max(highest, record.epoch or 0)
        kept.append(record)
    with_stale, without = fold(log), fold(kept)
    assert with_stale.terminal == without.terminal
    assert with_stale.outcomes == without.outcomes
    assert with_stale.rungs == without.rungs
    assert with_stale.num_stale == len(log) - len(kept)


@given(logs)
def test_a_deed_recorded_twice_counts_once(log: list[LogRecord]) -> None:
    doubled = numbered(*[Draft(r.type, r.op_id, r.data, r.epoch) for r in log for _ in range(2)])
    once, twice = fold(log), fold(doubled)
    assert (twice.terminal, twice.outcomes, twice.rungs, twice.mode) == (
        once.terminal,
        once.outcomes,
        once.rungs,
        once.mode,
    )


@given(logs)
def test_a_record_survives_its_encoding(log: list[LogRecord]) -> None:
    assert [LogRecord.from_bytes(record.to_bytes()) for record in log] == log


def test_the_first_outcome_of_a_lineage_stands_until_it_is_retried() -> None:
    log = numbered(outcome("a", "failed", 1), outcome("a", "stopped", 1))
    assert fold(log).outcomes["a"].status == "failed"
    again = Draft("retry", "retry:1", {"lineages": ["a"]}, 1)
    log = numbered(outcome("a", "failed", 1), again, outcome("a", "stopped", 1))
    assert fold(log).outcomes["a"].status == "stopped"


def test_a_stricter_wish_wins_over_an_earlier_one_and_a_softer_one_does_not() -> None:
    assert fold(numbered(cancel("drain"), cancel("kill"))).mode == "kill"
    assert fold(numbered(cancel("kill"), cancel("drain"))).mode == "kill"


def test_records_that_this_version_does_not_know_are_refused() -> None:
    with pytest.raises(UnknownFormat):
        fold(numbered(Draft("tombstone", "x")))
    raw: dict[str, Any] = {"format": 2}
    with pytest.raises(UnknownFormat):
        LogRecord.from_bytes(str(raw).replace("'", '"').encode())


def test_a_leader_takes_a_search_over_before_his_first_deed() -> None:
    draft = outcome("a", "failed", 3)
    assert _fenced(LogState(), draft).type == "take-over"
    assert _fenced(LogState(epoch=2), draft).type == "take-over"
    assert _fenced(LogState(epoch=3), draft) is draft
    with pytest.raises(StaleEpoch):
        _fenced(LogState(epoch=4), draft)
