"""The verifier passes what was computed, and says what it cannot check."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.support.evidence import (
    KINDS,
    evidence,
    evidence_of,
    of_kind,
    verify,
)
from workers.verify import CHECKS


@pytest.mark.parametrize("treatment", ["winning_ticket", "random_reinit", "random_mask", "shuffled_mask"])
@pytest.mark.parametrize("rewind_step", [0, 10])
def test_every_treatment_verifies_and_retrains_to_equal_bits(treatment: str, rewind_step: int) -> None:
    report = verify(evidence(treatment, rewind_step=rewind_step), retrain=True)
    assert {check.status for check in report.checks} == {"pass"}, report.checks
    assert report.ok
    details = {check.name: check.detail for check in report.checks}
    assert "equal bits" in details["retraining"]
    assert "exactly as recorded" in details["accuracy at the end"]
    assert ("control" in details) == (treatment != "winning_ticket")


@pytest.mark.parametrize("kind", KINDS)
def test_every_method_mode_and_control_verifies_and_retrains_to_equal_bits(kind: str) -> None:
    search = of_kind(kind)
    for treatment in {own.spec.treatment: None for own in search.lineages}:
        report = verify(evidence_of(search, treatment), retrain=True)
        assert report.ok, (treatment, report.checks)
        details = {check.name: check.detail for check in report.checks}
        assert "equal bits" in details["retraining"]
        assert "exactly as recorded" in details["accuracy at the start"]
        skipped = {check.name for check in report.checks if check.status == "skipped"}
        masks_only = {"pruned weights", "accuracy at the end"} if search.submission.spec.keep == "masks" else set()
        carries = search.lineage(treatment).spec.carries_weights
        allowed = ({"selection"} if kind == "gradual" else set()) | (set() if carries else masks_only)
        assert skipped == allowed, (treatment, report.checks)


def test_what_was_not_kept_is_skipped_with_its_reason() -> None:
    report = verify(evidence(keep="masks"))
    assert report.ok
    skipped = {check.name: check.detail for check in report.checks if check.status == "skipped"}
    assert set(skipped) == {"pruned weights", "accuracy at the end"}
    assert "not kept" in skipped["pruned weights"]


def test_the_first_pruning_is_checked_even_if_only_masks_were_kept() -> None:
    report = verify(evidence(keep="masks"))
    assert next(c for c in report.checks if c.name == "selection").detail.startswith("levels 1;")


def test_a_data_set_that_cannot_be_read_is_a_reason_to_skip() -> None:
    report = verify(replace(evidence(), data="data set digits is gone"))
    assert report.status("accuracy at the start") == "skipped"
    assert report.ok


def test_another_environment_is_allowed_the_margin_and_no_more() -> None:
    found = evidence()
    found.ticket["fingerprint_sha256"] = "0" * 64
    metrics = found.ticket["core"]["metrics"]
    metrics.update(end_test_accuracy=metrics["end_test_accuracy"] - 0.005, end_test_loss=1.0)
    report = verify(found)
    assert report.status("accuracy at the end") == "pass"
    metrics.update(end_test_accuracy=metrics["end_test_accuracy"] - 0.01)
    assert verify(found).status("accuracy at the end") == "fail"


def test_the_report_is_json_with_one_named_line_per_check() -> None:
    document = json.loads(json.dumps(verify(evidence()).as_json()))
    assert document["ok"] is True
    assert [check["name"] for check in document["checks"]] == [n for n in CHECKS if n not in ("control", "retraining")]
    assert all(set(check) == {"name", "status", "detail"} for check in document["checks"])
