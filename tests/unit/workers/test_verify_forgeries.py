"""The verifier finds each thing that is not as it was computed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lth_core.manifest import core_digest
from lth_core.masks import pack_mask
from lth_core.weights import content_digest, from_safetensors, to_safetensors
from tests.support.evidence import (
    LEVEL,
    evidence,
    evidence_of,
    failed,
    of_kind,
    put,
    resign,
    verify,
)
from workers.evidence import Judgement


def test_a_held_weight_that_moved_is_found() -> None:
    found = evidence_of(of_kind("held"), "frozen")
    name, weights = "fc1.weight", from_safetensors(found.final or b"")
    pruned = np.argwhere(~found.mask(found.ticket)[name])[0]
    weights[name][tuple(pruned)] = 0.0
    content = to_safetensors(weights)
    put(found, LEVEL, "final", content, content_digest(weights))
    resign(found)
    assert "pruned weights" in failed(verify(replace(found, final=content)))


def test_a_level_that_did_not_start_from_the_trained_weights_of_the_level_before_is_found() -> None:
    found = evidence_of(of_kind("lr"), "winning_ticket")
    dense = from_safetensors(found.blobs.read(found.chain[0]["stored"]["rewind"]["sha256"]))
    put(found, 2, "rewind", to_safetensors(dense), content_digest(dense))
    resign(found)
    assert "rewind weights" in failed(verify(found))


def test_a_trained_network_that_hides_its_label_is_found() -> None:
    found = evidence_of(of_kind("lr"), "winning_ticket")
    del found.chain[LEVEL]["core"]["label"]
    resign(found)
    assert "manifests" in failed(verify(found))


def test_a_one_shot_mask_that_its_ranking_does_not_give_is_found() -> None:
    found = evidence_of(of_kind("one_shot"), "winning_ticket")
    mask = found.mask(found.chain[2])
    kept, gone = (np.argwhere(mask["fc1.weight"] == bit)[0] for bit in (True, False))
    mask["fc1.weight"][tuple(kept)], mask["fc1.weight"][tuple(gone)] = False, True
    put(found, 2, "mask", pack_mask(mask, found.tensors))
    resign(found)
    assert "selection" in failed(verify(found))


def test_a_dense_network_of_a_control_that_follows_nothing_is_found() -> None:
    found = evidence_of(of_kind("held"), "reordered")
    assert found.first_level == 0
    found.chain[0]["core"]["parent"] = None
    found.chain[0]["core_sha256"] = core_digest(found.chain[0]["core"])
    found.chain[1]["core"]["parent"] = found.chain[0]["core_sha256"]
    assert "manifests" in failed(verify(found))


def test_a_damaged_blob_is_found_and_not_used() -> None:
    found = evidence()
    sha256 = found.chain[2]["core"]["digests"]["mask"]
    del found.blobs.contents[sha256]
    found.blobs.damage[sha256] = "does not match its digest"
    report = verify(found)
    assert failed(report) == {"digests"}
    assert report.status("nesting") == "skipped"


@pytest.mark.parametrize(
    "edit",
    [
        lambda core: core["metrics"].update(test_accuracy=0.99),
        lambda core: core.update(kept=1),
        lambda core: core["layers"][0].update(kept=1),
        lambda core: core.update(parent="0" * 64),
    ],
)
@pytest.mark.parametrize("level", [0, 2, 3])
def test_an_edited_manifest_is_found(edit: Callable[[dict[str, Any]], None], level: int) -> None:
    found = evidence()
    edit(found.chain[level]["core"])
    assert "manifests" in failed(verify(found))


def test_an_edited_figure_is_found_even_if_all_digests_are_made_to_agree() -> None:
    found = evidence()
    found.ticket["core"]["metrics"].update(test_accuracy=0.99, end_test_accuracy=0.99)
    resign(found)
    assert failed(verify(found)) == {"curves", "accuracy at the end"}
    assert failed(verify(found, retrain=True)) == {"curves", "accuracy at the end", "retraining"}


def test_a_count_that_is_not_the_mask_s_is_found() -> None:
    found = evidence()
    found.chain[2]["core"]["layers"][0]["kept"] += 1
    resign(found)
    assert failed(verify(found)) == {"counts"}


def test_a_mask_that_is_not_nested_is_found() -> None:
    found = evidence()
    before, mask = found.mask(found.chain[2]), found.mask(found.chain[3])
    revived = np.flatnonzero(~before["fc1.weight"])[0]
    gone = np.flatnonzero(mask["fc1.weight"])[0]
    mask["fc1.weight"].reshape(-1)[[revived, gone]] = True, False
    put(found, 3, "mask", pack_mask(mask, found.tensors))
    resign(found)
    assert {"nesting", "selection"} <= failed(verify(found))
    assert "count rule" not in failed(verify(found))


def test_one_weight_too_many_breaks_the_count_rule() -> None:
    found = evidence()
    mask = found.mask(found.chain[3])
    mask["fc1.weight"].reshape(-1)[np.flatnonzero(mask["fc1.weight"])[0]] = False
    put(found, 3, "mask", pack_mask(mask, found.tensors))
    core = found.ticket["core"]
    core["layers"][0]["kept"] -= 1
    core.update(kept=core["kept"] - 1, density=(core["kept"] - 1) / core["prunable"])
    resign(found)
    assert "count rule" in failed(verify(found))
    assert "counts" not in failed(verify(found))


def test_a_mask_of_other_weights_with_the_right_counts_is_found() -> None:
    found = evidence()
    before, mask = found.mask(found.chain[2]), found.mask(found.chain[3])
    removed = np.flatnonzero(before["fc1.weight"] & ~mask["fc1.weight"])[-1]
    kept = np.flatnonzero(mask["fc1.weight"])[0]
    mask["fc1.weight"].reshape(-1)[[removed, kept]] = True, False
    content = pack_mask(mask, found.tensors)
    put(found, 3, "mask", content)
    put(found, 2, "next_mask", content)
    resign(found)
    assert "selection" in failed(verify(found))
    assert "nesting" not in failed(verify(found))


def test_a_control_with_another_draw_is_found() -> None:
    found = evidence("shuffled_mask")
    mask = found.mask(found.chain[3])
    mask["fc1.weight"] = np.roll(mask["fc1.weight"], 1)
    put(found, 3, "mask", pack_mask(mask, found.tensors))
    resign(found)
    assert "control" in failed(verify(found))


@pytest.mark.parametrize("treatment", ["winning_ticket", "random_reinit"])
def test_rewind_weights_that_are_one_bit_off_are_found(treatment: str) -> None:
    found = evidence(treatment)
    weights = from_safetensors(found.blobs.contents[found.chain[3]["stored"]["rewind"]["sha256"]])
    weights["fc1.weight"].view(np.uint32).reshape(-1)[7] ^= 1
    put(found, 3, "rewind", to_safetensors(weights), content_digest(weights))
    resign(found)
    assert "rewind weights" in failed(verify(found))


def test_a_dense_network_that_began_elsewhere_is_found() -> None:
    found = evidence()
    weights = from_safetensors(found.blobs.contents[found.chain[0]["stored"]["rewind"]["sha256"]])
    weights["fc1.weight"] = weights["fc1.weight"] * np.float32(2)
    for level in range(LEVEL + 1):
        put(found, level, "rewind", to_safetensors(weights), content_digest(weights))
    resign(found)
    assert "rewind weights" in failed(verify(found))


@pytest.mark.parametrize("value", [-0.0, 1e-30])
def test_a_pruned_weight_that_is_not_plus_zero_is_found(value: float) -> None:
    found = evidence()
    assert found.final is not None
    weights = from_safetensors(found.final)
    pruned = np.flatnonzero(~found.mask(found.ticket)["fc1.weight"])[5]
    weights["fc1.weight"].reshape(-1)[pruned] = value
    content = to_safetensors(weights)
    put(found, 3, "final", content, content_digest(weights))
    resign(found)
    assert "pruned weights" in failed(verify(replace(found, final=content)))


def test_trained_weights_of_another_training_are_found() -> None:
    found = evidence()
    other = found.blobs.contents[found.chain[2]["stored"]["final"]["sha256"]]
    report = verify(replace(found, final=other))
    assert {"pruned weights", "accuracy at the end"} <= failed(report)


def test_a_verdict_that_does_not_follow_from_the_levels_is_found() -> None:
    found = evidence()
    assert isinstance(found.judgement, Judgement)
    level = next(one for one in found.judgement.levels if one["level"] == LEVEL)
    level["verdicts"]["paper_point"] = "yes" if level["verdicts"]["paper_point"] != "yes" else "no"
    assert failed(verify(found)) == {"verdicts"}
    since = replace(found.judgement, final=False)
    assert verify(replace(found, judgement=since)).status("verdicts") == "skipped"
    assert verify(replace(found, judgement="the search has not been judged")).status("verdicts") == "skipped"


def test_a_chain_computed_for_another_lineage_is_found() -> None:
    found = evidence()
    other = found.lineage.model_copy(update={"replicate": 1})
    assert "manifests" in failed(verify(replace(found, lineage=other)))


def test_a_manifest_that_lacks_members_fails_and_does_not_crash() -> None:
    found = evidence()
    for manifest in found.chain:
        del manifest["core"]["digests"]
    report = verify(found)
    assert not report.ok
    assert report.status("digests") == "fail"
