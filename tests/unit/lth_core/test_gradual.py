"""Gradual pruning: the cubic schedule, exact counts at its end, and nested masks of the smallest magnitudes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from lth_core.errors import NonFiniteError
from lth_core.expansion import LineageSpec
from lth_core.gradual import Tightening, cubic_sparsity
from tests.support.tiny import tiny_lineage

SIZES = {"fc1.weight": 192, "fc2.weight": 96, "out.weight": 24}


def gradual(rewind_step: int = 0, **prune: Any) -> LineageSpec:
    settings = {"begin_step": 4, "end_step": 24, "every": 5, **prune}
    settings["levels"] = len(prune.get("densities", (0, 0, 0)))
    return tiny_lineage(prune=settings, rewind_step=rewind_step, method="gradual")


def weights_at(done: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(done)
    tensors = gradual().tensors()
    return {tensor.name: rng.standard_normal(tensor.shape).astype(np.float32) for tensor in tensors}


def masks(lineage: LineageSpec, level: int) -> dict[int, dict[str, np.ndarray]]:
    """The mask after every pruning of a training of 30 steps, whose weights are made up."""
    tightening, mask, found = Tightening(lineage, level), None, {}
    for done in range(lineage.rewind.step, 31):
        if tightening.is_due(done):
            mask = tightening.mask_after(done, mask, weights_at(done))
            found[done] = mask
    return found


def counts(mask: dict[str, np.ndarray]) -> dict[str, int]:
    return {name: int(bits.sum()) for name, bits in mask.items()}


def test_the_cubic_schedule_has_its_published_values():
    values = [cubic_sparsity(0.05, 0.88, q) for q in (0, 0.25, 0.5, 0.75, 1)]
    assert values == pytest.approx([0.05, 0.5298, 0.7762, 0.8670, 0.88], abs=6e-5)


def test_a_tightening_follows_the_cubic_schedule_of_the_total_sparsity():
    lineage = gradual(densities=(0.12,), initial_sparsity=0.05, end_step=20, begin_step=4, every=4)
    tightening, found = Tightening(lineage, 1), masks(lineage, 1)
    total = sum(SIZES.values())
    final = 1 - round(0.12 * total) / total
    assert list(found) == [4, 8, 12, 16, 20]
    for i, (done, mask) in enumerate(found.items()):
        wanted = final + (0.05 - final) * (1 - i / 4) ** 3
        assert tightening.sparsity(done) == pytest.approx(wanted)
        pruned = total - sum(counts(mask).values())
        assert abs(pruned - wanted * total) <= 1.5  # three layers, each rounded to half a weight
    assert final == pytest.approx(0.88, abs=2e-3)


@pytest.mark.parametrize("level", [1, 2, 3])
def test_the_last_mask_has_the_counts_of_as_many_prunings_layer_by_layer(level):
    final = list(masks(gradual(fraction=0.4), level).values())[-1]
    expected = {}
    for name, size in SIZES.items():
        alive = size
        for _ in range(level):
            alive -= round((0.2 if name == "out.weight" else 0.4) * alive)
        expected[name] = alive
    assert counts(final) == expected


def test_under_global_scope_one_ranking_decides_and_the_total_is_exact():
    lineage = gradual(fraction=0.4, scope="global", exclude=("fc2",))
    found = masks(lineage, 2)
    assert counts(found[24])["fc2.weight"] == 96
    pool = 192 + 24
    kept = pool - round(0.4 * pool)
    kept -= round(0.4 * kept)
    assert sum(counts(found[24]).values()) == 96 + kept
    before = np.concatenate([found[19][name].ravel() for name in ("fc1.weight", "out.weight")])
    after = np.concatenate([found[24][name].ravel() for name in ("fc1.weight", "out.weight")])
    w = np.abs(np.concatenate([weights_at(24)[name].ravel() for name in ("fc1.weight", "out.weight")]))
    assert w[before & ~after].max() <= w[after].min()


def test_named_densities_are_reached_exactly():
    for level, density in enumerate((0.5, 0.1), start=1):
        final = list(masks(gradual(densities=(0.5, 0.1)), level).values())[-1]
        assert sum(counts(final).values()) == round(density * 312)


def test_masks_are_nested_and_only_the_smallest_of_the_survivors_leave():
    found = masks(gradual(fraction=0.5), 3)
    previous = {name: np.ones(bits.shape, bool) for name, bits in found[4].items()}
    removed = 0
    for done, mask in found.items():
        for name, bits in mask.items():
            assert not (bits & ~previous[name]).any()
            left = previous[name] & ~bits
            removed += left.sum()
            w = np.abs(weights_at(done)[name])
            assert not left.any() or w[left].max() <= w[bits].min()
        previous = mask
    assert removed > 200


def test_a_mask_tightens_at_the_beginning_then_every_so_often_and_at_the_end():
    assert list(masks(gradual(), 1)) == [4, 9, 14, 19, 24]
    assert list(masks(gradual(begin_step=0, end_step=12, every=5), 1)) == [0, 5, 10, 12]
    assert list(masks(gradual(end_step=None, begin_step=0, every=100), 1)) == [0, 22]  # three quarters of 30 steps


def test_a_training_that_begins_later_begins_under_the_mask_of_its_first_step():
    lineage = gradual(rewind_step=11, fraction=0.5)
    tightening, found = Tightening(lineage, 2), masks(lineage, 2)
    assert list(found) == [11, 14, 19, 24]
    final = 1 - sum(counts(found[24]).values()) / 312
    wanted = final * (1 - (1 - 7 / 20) ** 3)
    assert tightening.sparsity(11) == pytest.approx(wanted)
    assert abs(312 - sum(counts(found[11]).values()) - wanted * 312) <= 1.5
    late = masks(gradual(rewind_step=27, fraction=0.5), 2)
    assert list(late) == [27]
    assert counts(late[27]) == counts(found[24])


def test_without_an_initial_sparsity_the_first_mask_is_full():
    first = masks(gradual(), 1)[4]
    assert all(bits.all() for bits in first.values())


def test_a_survivor_that_is_not_finite_ends_the_training():
    weights = weights_at(9)
    weights["fc1.weight"][0, 0] = math.nan
    with pytest.raises(NonFiniteError, match="weight is not finite at step 9"):
        Tightening(gradual(), 1).mask_after(9, None, weights)
