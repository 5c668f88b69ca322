"""Which lineages may run when, and what levels, failures and decisions lead to."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from lth_core.expansion import DatasetInfo, expand
from lth_core.keys import lineage_id, ulid_time
from lth_core.parts import Resources, Scheduler
from lth_core.spec import SearchSpec
from workers.board import ENDED, Board, Chain, End, LevelNote
from workers.engines.orders import Failure
from workers.schedulers import Trials, judge_of

SEARCH = "srch_01M818AAB20GX731VMRNSBV2H5"
CRASH = Failure("infra", "the engine died")


def make_board(scheduler: dict[str, Any] | None = None, **spec: Any) -> Board:
    """A board of a small search."""
    body = {
        "model": {"name": "mlp", "sizes": [16, 8, 2]},
        "dataset": {"name": "tiny"},
        "train": {"steps": 20, "eval_every": 10, "batch_size": 10},
        "prune": {"levels": 2},
        "replicates": [0],
        **spec,
    }
    parsed = SearchSpec.model_validate_json(json.dumps(body))
    info = DatasetInfo(name="tiny", digest="0" * 64, shape=(1, 4, 4), num_classes=2, num_train=60, num_test=20)
    planned = expand(parsed, tenant="local", dataset=info, resources=Resources(), device_class="cpu")
    ids = {plan.key: lineage_id(SEARCH, plan.key, ulid_time(SEARCH)) for plan in planned}
    levels = max(plan.spec.prune.levels for plan in planned)
    chosen = Scheduler.model_validate(scheduler or {})
    return Board(planned, ids, Trials(judge_of(chosen, levels)))


def settle(board: Board) -> list[End]:
    """What a driver does after every change."""
    ends = board.refresh()
    board.due_rungs()
    return ends + board.refresh()


def commit(board: Board, chain: Chain, *, accuracy: float = 0.5, collapsed: bool = False) -> None:
    """Let a running lineage commit its next level."""
    board.committed(chain.id, board.next_level(chain), LevelNote(collapsed, accuracy))
    settle(board)


def run_through(board: Board, num_slots: int, accuracy: dict[int, float] | None = None) -> list[tuple[str, int]]:
    """Run a search in so many slots; return (treatment, level) in the order of commits."""
    settle(board)
    running: list[Chain] = []
    order = []
    for _ in range(1000):
        while len(running) < num_slots and (chain := board.start_next(0.0)) is not None:
            running.append(chain)
        if not running:
            break
        chain = running.pop(0)
        order.append((chain.plan.spec.treatment, board.next_level(chain)))
        commit(board, chain, accuracy=(accuracy or {}).get(chain.plan.setting_index, 0.5))
        if board.may_go_on(chain.id):
            running.append(chain)
        else:
            board.paused(chain.id)
            settle(board)
    return order


@settings(max_examples=15, deadline=None)
@given(num_slots=st.integers(1, 7), replicates=st.integers(1, 3), asha=st.booleans())
def test_every_search_ends_in_any_number_of_slots(num_slots: int, replicates: int, asha: bool) -> None:
    treatments = ["random_reinit", {"name": "random_mask", "repeats": 2}]
    scheduler = {"name": "asha" if asha else "fifo", "grace_levels": 1, "reduction_factor": 2}
    train = {"steps": 20, "eval_every": 10, "batch_size": 10, "lr": {"grid": [0.1, 0.2]}}
    spec = {"replicates": replicates, "treatments": treatments, "train": train, "prune": {"levels": 4}}
    board = make_board(scheduler, **spec)
    run_through(board, num_slots, {0: 0.9, 1: 0.1})
    assert board.is_finished
    assert all(chain.state in ENDED for chain in board.chains.values())


def test_a_control_is_blocked_until_its_mask_is_committed() -> None:
    board = make_board()
    settle(board)
    ticket, control = board.chains.values()
    assert (ticket.state, control.state) == ("pending", "blocked")
    assert board.start_next(0.0) is ticket
    assert board.start_next(0.0) is None
    commit(board, ticket)
    assert control.state == "blocked"
    commit(board, ticket)
    assert board.start_next(0.0) is control


def test_a_control_that_runs_out_of_masks_pauses_and_comes_back() -> None:
    board = make_board()
    settle(board)
    ticket, control = board.chains.values()
    board.start_next(0.0)
    commit(board, ticket)
    commit(board, ticket)
    assert board.start_next(0.0) is control
    commit(board, control)
    assert not board.may_go_on(control.id)
    board.paused(control.id)
    settle(board)
    assert (control.state, board.start_next(0.0)) == ("blocked", None)
    commit(board, ticket)
    assert ticket.state == "succeeded"
    assert board.start_next(0.0) is control


def test_one_dense_network_is_trained_once_for_all_prune_settings() -> None:
    board = make_board(prune={"levels": 2, "fraction": {"grid": [0.2, 0.5]}}, treatments=[])
    settle(board)
    first = board.start_next(0.0)
    assert first is not None
    assert board.start_next(0.0) is None
    commit(board, first)
    second = board.start_next(0.0)
    assert second is not None
    assert board.next_level(second) == 1


def test_a_failed_source_skips_controls_that_never_ran_and_fails_those_that_did() -> None:
    board = make_board(treatments=["random_reinit", "random_mask"])
    settle(board)
    ticket, reinit, mask = board.chains.values()
    board.start_next(0.0)
    commit(board, ticket)
    commit(board, ticket)
    assert board.start_next(0.0) is reinit
    commit(board, reinit)
    board.paused(reinit.id)
    end = board.failed(ticket.id, Failure("nonfinite", "loss is not finite"), 0.0)
    assert end is not None
    settle(board)
    assert (reinit.state, reinit.reason) == ("failed", "upstream")
    assert (mask.state, mask.reason) == ("pending", None)
    assert board.start_next(0.0) is mask
    commit(board, mask)
    board.paused(mask.id)
    settle(board)
    assert (mask.state, mask.reason) == ("failed", "upstream")
    assert board.is_finished


def test_a_collapsed_level_ends_its_lineage_as_a_result() -> None:
    board = make_board()
    settle(board)
    ticket, control = board.chains.values()
    board.start_next(0.0)
    commit(board, ticket)
    commit(board, ticket, collapsed=True)
    assert (ticket.state, ticket.reason) == ("stopped", "collapsed")
    board.start_next(0.0)
    commit(board, control, collapsed=True)
    assert (control.state, control.reason) == ("stopped", "collapsed")


def test_an_engine_that_dies_is_forgiven_twice_on_one_level() -> None:
    board = make_board(treatments=[])
    settle(board)
    (chain,) = board.chains.values()
    for attempt in (1, 2):
        board.start_next(1000.0 * attempt)
        assert board.failed(chain.id, CRASH, 0.0) is None
        assert chain.state == "retrying"
    board.start_next(9000.0)
    end = board.failed(chain.id, CRASH, 0.0)
    assert end is not None
    assert (end.status, end.reason) == ("failed", "poison")


def test_a_retry_waits_and_goes_on_from_the_last_committed_level() -> None:
    board = make_board(treatments=[])
    settle(board)
    (chain,) = board.chains.values()
    board.start_next(0.0)
    commit(board, chain)
    board.failed(chain.id, CRASH, 100.0)
    assert board.start_next(100.1) is None
    assert board.start_next(101.0) is chain
    assert (chain.attempt, board.next_level(chain)) == (2, 1)


def test_asha_stops_a_setting_with_its_controls_and_replicates() -> None:
    scheduler = {"name": "asha", "grace_levels": 1, "reduction_factor": 2}
    train = {"steps": 20, "eval_every": 10, "batch_size": 10, "lr": {"grid": [0.1, 0.2]}}
    board = make_board(scheduler, train=train, replicates=[0, 1], prune={"levels": 4})
    run_through(board, 2, {0: 0.9, 1: 0.1})
    for chain in board.chains.values():
        if chain.plan.setting_index == 0:
            assert chain.state == "succeeded"
        else:
            assert chain.state in ("stopped", "skipped")
            assert chain.reason == "scheduler"


def test_what_the_log_recorded_is_not_run_again() -> None:
    board = make_board()
    ticket, control = board.chains.values()
    board.recall([End(ticket.id, "failed", "user", {"class": "user"})])
    settle(board)
    assert board.start_next(0.0) is None
    assert (control.state, board.is_finished) == ("skipped", True)


def test_draining_finishes_what_runs_and_closing_does_not() -> None:
    board = make_board(treatments=[])
    settle(board)
    (chain,) = board.chains.values()
    board.start_next(0.0)
    board.mode = "drain"
    commit(board, chain)
    assert board.may_go_on(chain.id)
    board.mode = "closed"
    assert not board.may_go_on(chain.id)
    assert [end.status for end in board.end_all("cancelled", "wish")] == ["cancelled"]
    assert board.is_finished


def test_a_control_of_the_dense_network_runs_at_level_0_as_soon_as_that_is_committed() -> None:
    board = make_board(treatments=["reordered"], keep="all")
    settle(board)
    ticket, control = board.chains.values()
    assert (control.state, board.next_level(control)) == ("blocked", 0)
    assert board.start_next(0.0) is ticket
    assert board.start_next(0.0) is None
    commit(board, ticket)
    assert board.start_next(0.0) is control
    commit(board, control)
    assert not board.may_go_on(control.id)
    commit(board, ticket)
    assert board.may_go_on(control.id)
    assert run_through(make_board(treatments=["reordered"], keep="all"), 1) == [
        *(("winning_ticket", level) for level in range(3)),
        *(("reordered", level) for level in range(3)),
    ]


def test_a_control_whose_dense_network_never_came_is_skipped() -> None:
    board = make_board(treatments=["reordered"], keep="all")
    settle(board)
    ticket, control = board.chains.values()
    board.start_next(0.0)
    board.failed(ticket.id, Failure("nonfinite", "loss is not finite"), 0.0)
    settle(board)
    assert (control.state, control.reason, board.is_finished) == ("skipped", "upstream", True)


@given(
    num_slots=st.integers(1, 4),
    method=st.sampled_from(["imp", "one_shot", "snip", "gradual"]),
    mode=st.sampled_from(["weights", "lr", "fine_tune"]),
)
@settings(max_examples=20, deadline=None)
def test_every_method_and_mode_ends_in_any_number_of_slots(num_slots: int, method: str, mode: str) -> None:
    rewind = {"mode": mode if method == "imp" else "weights"}
    treatments = ["identity", "frozen", "reordered", {"name": "noise", "sigma": 3.0, "repeats": 2}]
    board = make_board(method=method, rewind=rewind, treatments=treatments, keep="all", replicates=[0, 1])
    order = run_through(board, num_slots)
    assert board.is_finished
    assert all(chain.state == "succeeded" for chain in board.chains.values())
    assert len(order) == 2 * (3 + 3 + 4 * 2)


def test_work_left_is_that_of_lineages_that_have_not_ended() -> None:
    board = make_board(replicates=[0, 1], treatments=[], prune={"levels": 2})
    assert board.work_left() == (6, 120)
    settle(board)
    chain = board.start_next(0.0)
    assert chain is not None
    commit(board, chain)
    assert board.work_left() == (5, 100)
    board.end_all("cancelled", "no more wanted")
    assert board.work_left() == (0, 0)
