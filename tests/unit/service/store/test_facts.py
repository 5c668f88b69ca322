"""States of searches and lineages as pure functions of log, levels and overlay."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from lth_core.expansion import PlannedLineage
from lth_core.results import search_results
from lth_core.spec import Submission
from service.store.facts import Facts
from service.store.log import FIRST_RECORD, LogRecord
from service.store.plans import Accepted, Plan
from service.store.summaries import Levels
from service.store.ticket_views import open_level_document, ticket_documents, ticket_places
from service.store.views import lineage_document, search_document
from tests.support.records import tiny_arrays, tiny_info, tiny_submission

INFO = tiny_info(tiny_arrays())
SEARCH = "srch_01M818AAB20GX731VMRNSBV2H5"
AT = "2026-11-22T09:10:11.042Z"
LATER = "2026-11-22T10:10:11.042Z"


@pytest.fixture(scope="module")
def plan() -> Plan:
    accepted_at = datetime(2026, 11, 22, 9, 10, 11, 42_000, tzinfo=UTC)
    info = tiny_info(tiny_arrays())
    return Plan.of(Accepted("local", SEARCH, accepted_at, "f" * 64, tiny_submission(), info, "cpu"))


def records(*deeds: tuple[str, int | None, dict[str, Any]]) -> tuple[LogRecord, ...]:
    return tuple(
        LogRecord(number, kind, f"op:{number}", LATER, epoch, data)
        for number, (kind, epoch, data) in enumerate(deeds, FIRST_RECORD)
    )


def committed(lineage: PlannedLineage, *numbers: int, search: str = SEARCH, collapsed: bool = False) -> Levels:
    levels: dict[str, dict[int, Any]] = {}
    for number in numbers:
        levels.setdefault(lineage.key_of_level(number), {})[number] = {
            "level": number,
            "search": search,
            "committed_at": LATER,
            "density": 0.8**number,
            "collapsed": collapsed and number == numbers[-1],
            "rewind_step": 0,
            "mask_sha256": "0" * 64,
            "mask_bytes": 18,
            "rewind_sha256": None,
            "final_sha256": None,
            "metrics": {"test_accuracy": 0.9, "early_stop_step": 10},
        }
    return levels


TAKEN = ("take-over", 1, {})


@pytest.mark.parametrize(
    ("log", "overlay", "expected"),
    [
        (records(), {}, "queued"),
        (records(TAKEN), {}, "provisioning"),
        (records(TAKEN), {"status": "provisioning"}, "provisioning"),
        (records(TAKEN), {"status": "running"}, "running"),
        (records(TAKEN, ("cancel", None, {"mode": "kill"})), {"status": "running"}, "cancelling"),
        (records(("cancel", None, {"mode": "drain"})), {}, "cancelling"),
        (records(TAKEN, ("terminal", 1, {"status": "partial"})), {"status": "running"}, "partial"),
    ],
)
def test_the_log_decides_a_search_and_the_overlay_colours_it(
    plan: Plan, log: tuple[LogRecord, ...], overlay: dict[str, Any], expected: str
) -> None:
    assert search_document(Facts(plan, log, overlay=overlay))["status"] == expected


def test_a_search_whose_driver_is_silent_stays_running_once_a_level_is_committed(plan: Plan) -> None:
    levels = committed(plan.lineages[0], 0)
    assert Facts(plan, records(TAKEN), levels).status() == "running"
    adopted = committed(plan.lineages[0], 0, search="srch_01M818AAB20GX731VMRNSBV2H6")
    assert Facts(plan, records(TAKEN), adopted).status() == "provisioning"


def test_a_control_waits_for_the_mask_of_its_next_level(plan: Plan) -> None:
    chain, control = plan.lineages[:2]
    assert Facts(plan).lineage_status(control) == ("blocked", None)
    assert Facts(plan, levels=committed(chain, 0)).lineage_status(control)[0] == "blocked"
    one = committed(chain, 0, 1)
    assert Facts(plan, levels=one).lineage_status(control)[0] == "pending"
    assert Facts(plan, levels={**one, **committed(control, 1)}).lineage_status(control)[0] == "blocked"


def test_a_lineage_with_all_levels_has_succeeded_whoever_computed_them(plan: Plan) -> None:
    chain = plan.lineages[0]
    other = "srch_01M818AAB20GX731VMRNSBV2H6"
    facts = Facts(plan, levels=committed(chain, 0, 1, 2, search=other))
    document = lineage_document(facts, chain)
    assert (document["status"], document["levels_done"], document["adopted_from"]) == ("succeeded", 3, other)
    assert search_document(facts)["progress"]["levels_adopted"] == 3


def test_a_gap_in_the_levels_ends_what_counts_as_done(plan: Plan) -> None:
    chain = plan.lineages[0]
    assert lineage_document(Facts(plan, levels=committed(chain, 0, 2)), chain)["levels_done"] == 1


def test_a_collapsed_lineage_is_stopped_also_at_its_last_level(plan: Plan) -> None:
    chain = plan.lineages[0]
    for numbers in ((0, 1), (0, 1, 2)):
        facts = Facts(plan, levels=committed(chain, *numbers, collapsed=True))
        assert facts.lineage_status(chain) == ("stopped", "collapsed")


def test_an_outcome_counts_over_what_the_overlay_says(plan: Plan) -> None:
    chain = plan.lineages[0]
    name = plan.ids[chain.key]
    failed = (
        "outcome",
        1,
        {"lineage": name, "status": "failed", "reason": "nonfinite", "error": {"class": "nonfinite"}},
    )
    overlay = {"lineages": {name: {"status": "running", "current": {"level": 1}}}}
    document = lineage_document(Facts(plan, records(TAKEN, failed), overlay=overlay), chain)
    assert (document["status"], document["reason"], document["error"]) == (
        "failed",
        "nonfinite",
        {"class": "nonfinite"},
    )
    assert document["current"] is None
    assert document["status_at"]["failed"] == LATER


def test_what_a_cancelled_search_did_not_finish_is_cancelled(plan: Plan) -> None:
    log = records(TAKEN, ("cancel", None, {"mode": "kill"}), ("terminal", 1, {"status": "cancelled"}))
    facts = Facts(plan, log, committed(plan.lineages[0], 0, 1, 2))
    assert [facts.lineage_status(lineage)[0] for lineage in plan.lineages] == ["succeeded"] + ["cancelled"] * 3


def test_counts_add_up_to_the_lineages(plan: Plan) -> None:
    counts = search_document(Facts(plan, levels=committed(plan.lineages[0], 0, 1, 2)))["counts"]
    assert counts.pop("lineages") == sum(counts.values()) == 4


def test_tickets_begin_at_level_one_and_carry_the_verdicts_of_their_search(plan: Plan) -> None:
    chain, control = plan.lineages[:2]
    levels = {**committed(chain, 0, 1, 2), **committed(control, 1)}
    results = {"levels": [{"setting": 0, "level": 1, "verdicts": {"certified": "yes"}}]}
    tickets = list(ticket_documents(Facts(plan, levels=levels, results=results)))
    assert [(one["treatment"], one["level"]) for one in tickets] == [
        ("winning_ticket", 1),
        ("winning_ticket", 2),
        ("random_reinit", 1),
    ]
    assert [one["verdicts"] for one in tickets] == [{"certified": "yes"}, {}, {}]
    places = ticket_places(Facts(plan, levels=levels))
    assert places[tickets[2]["id"]] == f"{SEARCH}/{control.key}/1"


def test_an_accepted_search_survives_its_encoding(plan: Plan) -> None:
    again = Plan.of(Accepted.from_bytes(plan.raw), plan.raw)
    assert again.accepted.to_bytes() == plan.raw
    assert again.ids == plan.ids
    assert again.accepted.submission == plan.accepted.submission


def plan_of(**spec: Any) -> Plan:
    accepted_at = datetime(2026, 11, 22, 9, 10, 11, 42_000, tzinfo=UTC)
    body = {**tiny_submission().spec.model_dump(mode="json"), **spec}
    accepted = Accepted("local", SEARCH, accepted_at, "f" * 64, Submission.model_validate({"spec": body}), INFO, "cpu")
    return Plan.of(accepted)


def test_the_dense_level_belongs_to_chains_and_a_control_of_it_has_its_own() -> None:
    plan = plan_of(treatments=["random_reinit", "reordered"], keep="all", replicates=[0])
    chain, reinit, reordered = plan.lineages
    assert plan.lineages_at(chain.dense_key, 0) == (chain,)
    assert plan.lineages_at(reordered.key, 0) == (reordered,)
    assert plan.lineages_at(reinit.key, 0) == ()
    assert plan.lineages_at(reordered.key, 1) == (reordered,)


def test_a_control_of_the_dense_network_waits_for_it_and_then_for_masks() -> None:
    plan = plan_of(treatments=["reordered"], keep="all", replicates=[0])
    chain, reordered = plan.lineages

    def status(levels: Levels) -> str:
        return Facts(plan, records(TAKEN), levels).lineage_status(reordered)[0]

    assert status({}) == "blocked"
    assert status(committed(chain, 0)) == "pending"
    both = {**committed(chain, 0), **committed(reordered, 0)}
    assert status(both) == "blocked"
    assert status({**committed(chain, 0, 1), **committed(reordered, 0)}) == "pending"
    assert lineage_document(Facts(plan, records(TAKEN), both), reordered)["levels_done"] == 1
    assert not list(ticket_documents(Facts(plan, records(TAKEN), both)))


@pytest.mark.parametrize(
    ("spec", "labels"),
    [
        ({}, ["winning", None]),
        ({"rewind": {"step": 5}}, ["matching", None]),
        ({"rewind": {"mode": "lr"}, "treatments": ["reset"]}, ["trained", "winning"]),
        ({"method": "gradual", "treatments": ["random_mask"]}, ["trained", None]),
    ],
)
def test_a_ticket_says_what_it_may_be_called(spec: dict[str, Any], labels: list[str | None]) -> None:
    plan = plan_of(**{"treatments": ["random_reinit"], "replicates": [0], **spec})
    levels = {key: own for lineage in plan.lineages for key, own in committed(lineage, 1).items()}
    levels.update(committed(plan.lineages[0], 0))
    found = list(ticket_documents(Facts(plan, records(TAKEN), levels)))
    assert [ticket["label"] for ticket in found] == labels
    document = open_level_document(Facts(plan), plan.lineages[0], 2)
    assert document["label"] == labels[0]
    assert document["start"]["weights"] == ("W_T of level 1" if "lr" in str(spec) else document["start"]["weights"])


def test_a_trained_network_is_never_listed_with_the_verdicts_of_a_winning_ticket() -> None:
    plan = plan_of(rewind={"mode": "lr"}, treatments=[], replicates=[0, 1, 2], train={"steps": 20, "eval_every": 10})
    cores: dict[str, dict[int, Any]] = {}
    for lineage in plan.lineages:
        for level in range(plan.lineages[0].num_levels):
            metrics = {f"{at}{part}_accuracy": 0.9 for at in ("", "end_") for part in ("val", "test")}
            core = {
                "metrics": {**metrics, "early_stop_step": 10, "converged": True},
                "density": 0.4**level,
                "kept": 10,
                "prunable": 20,
            }
            cores.setdefault(lineage.key_of_level(level), {})[level] = core
    results = search_results(plan.accepted.submission.spec, plan.lineages, cores)
    levels = {key: own for lineage in plan.lineages for key, own in committed(lineage, 0, 1, 2).items()}
    for ticket in ticket_documents(Facts(plan, records(TAKEN), levels, results)):
        assert ticket["label"] == "trained"
        assert ticket["verdicts"]["trained_matches"] == "yes"
        assert not ticket["verdicts"].keys() & {"paper_point", "certified", "matching", "initialisation_matters"}
