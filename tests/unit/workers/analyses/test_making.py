"""Every analysis equals what plain numpy makes of the stored bytes, and says what it had to leave out."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import pytest

from lth_core.canonical import canonical_json
from lth_core.keys import ticket_id
from service.store import clock
from service.store.jobs import SEARCH_ANALYSES, TICKET_ANALYSES
from tests.support.chains import digits
from tests.support.local_records import StoredSearch
from workers.analyses.making import SEARCH, TICKET

Analyse = Callable[..., bytes]
TICKET_TREATMENT = "winning_ticket"
LAYERS = ("fc1.weight", "out.weight")


def joined(mask: dict[str, np.ndarray]) -> np.ndarray:
    return np.concatenate([mask[name].ravel() for name in LAYERS])


def of_level(rows: list[dict[str, Any]], level: int, replicate: int | None = None) -> dict[str, Any]:
    return next(row for row in rows if row["level"] == level and (replicate is None or row["replicate"] == replicate))


def ticket_of(search: StoredSearch, treatment: str, replicate: int, level: int) -> str:
    lineage = search.lineage(treatment, replicate)
    committed_at = clock.from_text(search.manifest(lineage, level)["committed_at"])
    return ticket_id(search.id, lineage.key, level, committed_at)


def test_the_names_are_those_that_can_be_asked_for() -> None:
    assert set(SEARCH) == set(SEARCH_ANALYSES)
    assert set(TICKET) == set(TICKET_ANALYSES)


def test_overlap_across_replicates_is_that_of_the_stored_bits(digits_search: StoredSearch, analyse: Analyse) -> None:
    raw = analyse(digits_search, "overlap")
    found = json.loads(raw)
    assert raw == canonical_json(found)
    assert (found["object"], found["name"], found["subject"]) == ("analysis", "overlap", digits_search.id)
    for level in (1, 2, 3):
        masks = [joined(digits_search.mask(digits_search.lineage(TICKET_TREATMENT, r), level)) for r in range(3)]
        row = of_level(found["across_replicates"], level)
        jaccards = [(a & b).sum() / (a | b).sum() for a, b in combinations(masks, 2)]
        assert [pair["total"]["jaccard"] for pair in row["pairs"]] == pytest.approx(jaccards)
        assert row["mean"]["total"]["jaccard"]["mean"] == pytest.approx(np.mean(jaccards))
        density = masks[0].mean()
        assert row["mean"]["total"]["chance"]["containment"] == pytest.approx(density)
        assert [pair["replicates"] for pair in row["pairs"]] == [[0, 1], [0, 2], [1, 2]]


def test_overlap_of_successive_levels_says_that_masks_are_nested(digits_search: StoredSearch, analyse: Analyse) -> None:
    found = json.loads(analyse(digits_search, "overlap"))
    assert len(found["successive_levels"]) == 3 * 2
    for row in found["successive_levels"]:
        lineage = digits_search.lineage(TICKET_TREATMENT, row["replicate"])
        a, b = (joined(digits_search.mask(lineage, n)) for n in (row["level"], row["next_level"]))
        assert row["total"]["containment"] == pytest.approx((a & b).sum() / a.sum())
        assert row["total"]["kept_both"] == b.sum()


def test_overlap_of_a_ticket_is_with_its_siblings_in_other_replicates(
    digits_search: StoredSearch, analyse: Analyse
) -> None:
    found = json.loads(analyse(digits_search, "overlap", ticket_of(digits_search, TICKET_TREATMENT, 1, 2)))
    own = joined(digits_search.mask(digits_search.lineage(TICKET_TREATMENT, 1), 2))
    assert [row["replicate"] for row in found["siblings"]] == [0, 2]
    for row in found["siblings"]:
        other = joined(digits_search.mask(digits_search.lineage(TICKET_TREATMENT, row["replicate"]), 2))
        assert row["total"]["hamming"] == pytest.approx((own ^ other).mean())


def test_signs_are_those_of_the_stored_weights(digits_search: StoredSearch, analyse: Analyse) -> None:
    found = json.loads(analyse(digits_search, "signs"))
    assert found["skipped"] == []
    for replicate in range(3):
        lineage = digits_search.lineage(TICKET_TREATMENT, replicate)
        initial = digits_search.weights(lineage, 0, "rewind")
        for level in (1, 2, 3):
            row = of_level(found["levels"], level, replicate)
            final, mask = digits_search.weights(lineage, level, "final"), digits_search.mask(lineage, level)
            before = digits_search.weights(lineage, level - 1, "final")
            for layer, flips in zip(row["initial_to_final"]["layers"], row["flips"]["layers"], strict=True):
                name, kept = layer["name"], mask[layer["name"]]
                same = np.sign(initial[name][kept]) == np.sign(final[name][kept])
                assert layer["agreement"] == pytest.approx(same.mean())
                assert flips["flipped"] == (np.sign(before[name][kept]) != np.sign(final[name][kept])).sum()
    agreements = [of_level(found["levels"], 3, r)["initial_to_final"]["total"]["agreement"] for r in range(3)]
    assert of_level(found["means"], 3)["agreement"]["mean"] == pytest.approx(np.mean(agreements))


def test_signs_of_a_control_begin_at_its_own_start(digits_search: StoredSearch, analyse: Analyse) -> None:
    found = json.loads(analyse(digits_search, "signs", ticket_of(digits_search, "random_reinit", 2, 1)))
    lineage = digits_search.lineage("random_reinit", 2)
    start, final = (digits_search.weights(lineage, 1, name) for name in ("rewind", "final"))
    mask = digits_search.mask(lineage, 1)
    same = sum((np.sign(start[n][mask[n]]) == np.sign(final[n][mask[n]])).sum() for n in LAYERS)
    assert found["initial_to_final"]["total"]["agreement"] == pytest.approx(same / joined(mask).sum())
    assert "flips" not in found


def test_distributions_count_every_survivor_in_bins_shared_by_levels(
    digits_search: StoredSearch, analyse: Analyse
) -> None:
    found = json.loads(analyse(digits_search, "distributions"))
    edges = {(row["name"], row["weights"]): np.array(row["edges"]) for row in found["edges"]}
    for level in (0, 2):
        row = of_level(found["levels"], level)
        for layer in row["layers"]:
            values = {"initial": [], "final": []}
            for replicate in range(3):
                lineage = digits_search.lineage(TICKET_TREATMENT, replicate)
                kept = digits_search.mask(lineage, level)[layer["name"]]
                values["initial"].append(digits_search.weights(lineage, 0, "rewind")[layer["name"]][kept])
                values["final"].append(digits_search.weights(lineage, level, "final")[layer["name"]][kept])
            for which, own in values.items():
                wide = np.concatenate(own).astype(np.float64)
                counts, _ = np.histogram(wide, edges[layer["name"], which])
                assert layer[which]["counts"] == counts.tolist()
                assert sum(layer[which]["counts"]) == wide.size
                deviations = [moments["std"] for moments in layer[which]["moments"]]
                assert deviations == pytest.approx([one.astype(np.float64).std() for one in own])


def test_movement_separates_what_stays_from_what_is_pruned_next(digits_search: StoredSearch, analyse: Analyse) -> None:
    found = json.loads(analyse(digits_search, "movement"))
    lineage = digits_search.lineage(TICKET_TREATMENT, 1)
    start = digits_search.weights(lineage, 0, "rewind")
    for level in (0, 1, 2):
        row = of_level(found["levels"], level, 1)
        final = digits_search.weights(lineage, level, "final")
        kept, following = digits_search.mask(lineage, level), digits_search.mask(lineage, level + 1)
        groups = {"all": kept, "stays": following, "pruned": {n: kept[n] & ~following[n] for n in LAYERS}}
        for group, where in groups.items():
            moved = np.concatenate([np.abs(final[n][where[n]] - start[n][where[n]]) for n in LAYERS])
            began = np.concatenate([np.abs(start[n][where[n]]) for n in LAYERS])
            assert row["total"][group]["n"] == moved.size
            assert row["total"][group]["distance"] == pytest.approx(moved.mean(), rel=1e-5)
            assert row["total"][group]["relative"] == pytest.approx(moved.sum() / began.sum(), rel=1e-5)
    last = of_level(found["levels"], 3, 1)
    assert last["total"]["pruned"]["n"] > 0  # its mask for a fourth level is stored with it


def test_layer_densities_are_those_of_the_masks(digits_search: StoredSearch, analyse: Analyse) -> None:
    found = json.loads(analyse(digits_search, "layer_densities"))
    own = json.loads(analyse(digits_search, "layer_densities", ticket_of(digits_search, TICKET_TREATMENT, 0, 2)))
    mask = digits_search.mask(digits_search.lineage(TICKET_TREATMENT, 0), 2)
    for row in (of_level(found["levels"], 2)["replicates"][0], own):
        assert [layer["density"] for layer in row["layers"]] == pytest.approx([mask[n].mean() for n in LAYERS])


def numpy_error(weights: dict[str, np.ndarray]) -> float:
    arrays = digits().arrays()
    pixels = arrays["train_images"].astype(np.float64)
    images = ((arrays["test_images"] - pixels.mean()) / pixels.std()).reshape(-1, 64)
    hidden = np.maximum(images @ weights["fc1.weight"].T + weights["fc1.bias"], 0)
    logits = hidden @ weights["out.weight"].T + weights["out.bias"]
    return float(np.mean(logits.argmax(1) != arrays["test_labels"]))


def test_barriers_are_errors_along_the_line_between_levels(digits_search: StoredSearch, analyse: Analyse) -> None:
    found = json.loads(analyse(digits_search, "barrier"))
    assert len(found["pairs"]) == 3 * 3
    row = of_level(found["pairs"], 1, 2)
    lineage = digits_search.lineage(TICKET_TREATMENT, 2)
    first, second = (digits_search.weights(lineage, n, "final") for n in (1, 2))
    ends = [1 - digits_search.manifest(lineage, n)["core"]["metrics"]["end_test_accuracy"] for n in (2, 1)]
    assert [row["errors"][0], row["errors"][-1]] == pytest.approx(ends)
    for a, error in zip(found["alphas"], row["errors"], strict=True):
        mixed = {name: a * first[name] + (1 - a) * second[name] for name in first}
        assert error == pytest.approx(numpy_error(mixed), abs=1.01 / 360)
    assert row["instability"] == pytest.approx(max(row["errors"]) - np.mean(ends))
    assert row["stable"] == (row["instability"] < 0.02)
    assert row["batch_norm"] == "none"


def test_instability_compares_a_ticket_with_its_copy_in_another_order(
    digits_search: StoredSearch, analyse: Analyse
) -> None:
    found = json.loads(analyse(digits_search, "instability"))
    assert {(row["replicate"], row["level"]) for row in found["pairs"]} == {(r, n) for r in range(3) for n in range(4)}
    for row in found["pairs"]:
        place = (row["replicate"], row["level"])
        ticket, copy = (digits_search.lineage(name, place[0]) for name in (TICKET_TREATMENT, "reordered"))
        metrics = [digits_search.manifest(one, place[1])["core"]["metrics"] for one in (copy, ticket)]
        ends = [1 - own["end_test_accuracy"] for own in metrics]
        assert [row["errors"][0], row["errors"][-1]] == pytest.approx(ends)
        assert row["instability"] == pytest.approx(max(row["errors"]) - np.mean(ends))
    first, second = (digits_search.weights(one, place[1], "final") for one in (ticket, copy))
    for a, error in zip(found["alphas"], found["pairs"][-1]["errors"], strict=True):
        mixed = {name: a * first[name] + (1 - a) * second[name] for name in first}
        assert error == pytest.approx(numpy_error(mixed), abs=1.01 / 360)
    own = json.loads(analyse(digits_search, "instability", ticket_of(digits_search, TICKET_TREATMENT, 1, 2)))
    assert own["pairs"][0]["errors"] == of_level(found["pairs"], 2, 1)["errors"]
    assert own["instability"]["n"] == 1


def test_the_verdict_is_what_the_search_said(digits_search: StoredSearch, analyse: Analyse) -> None:
    found = json.loads(analyse(digits_search, "verdict"))
    (path,) = (digits_search.folder / "searches" / "local" / digits_search.id / "results").glob("*.json")
    stored = json.loads(path.read_bytes())
    assert found["levels"] == stored["levels"]
    assert found["claim"] == stored["claim"]
    assert found["search"]["complete"]


def test_weights_that_were_not_kept_are_named_with_what_keeps_them(open_search: StoredSearch, analyse: Analyse) -> None:
    overlap = json.loads(analyse(open_search, "overlap"))
    assert overlap["across_replicates"] == []
    assert overlap["successive_levels"]
    assert any("needs two replicates" in one["reason"] for one in overlap["skipped"])
    found = json.loads(analyse(open_search, "signs"))
    assert {row["level"] for row in found["levels"]} == {0}
    assert all("spec.keep 'all' keeps them" in one["reason"] for one in found["skipped"])
    assert found["search"]["complete"] is False


def test_an_analysis_that_cannot_be_made_says_why(open_search: StoredSearch, analyse: Analyse) -> None:
    with pytest.raises(ValueError, match="no treatment `reordered`"):
        analyse(open_search, "instability")
    with pytest.raises(ValueError, match="trained weights of level 1 were not kept"):
        analyse(open_search, "signs", ticket_of(open_search, TICKET_TREATMENT, 0, 1))
    with pytest.raises(ValueError, match="one replicate"):
        analyse(open_search, "overlap", ticket_of(open_search, TICKET_TREATMENT, 0, 1))
    with pytest.raises(ValueError, match="analysis must be one of overlap"):
        analyse(open_search, "locality")


def test_movement_of_a_chain_that_carries_its_weights_begins_where_its_level_began(
    trained_search: StoredSearch, analyse: Analyse
) -> None:
    found = json.loads(analyse(trained_search, "movement"))
    lineage = trained_search.lineage(TICKET_TREATMENT, 0)
    start, final = (trained_search.weights(lineage, n, "final") for n in (1, 2))
    mask = trained_search.mask(lineage, 2)
    moved = np.concatenate([np.abs(final[n][mask[n]] - start[n][mask[n]]) for n in LAYERS])
    assert of_level(found["levels"], 2, 0)["total"]["all"]["distance"] == pytest.approx(moved.mean(), rel=1e-5)


def test_the_same_levels_give_the_same_bytes(digits_search: StoredSearch, analyse: Analyse) -> None:
    assert analyse(digits_search, "distributions") == analyse(digits_search, "distributions")
