"""Every criterion against its formula, written here weight by weight, and the properties of ranking by it."""

from __future__ import annotations

import math
from typing import get_args

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lth_core.criteria import score
from lth_core.names import Criterion
from lth_core.pruning import remove_smallest

CRITERIA = sorted(get_args(Criterion))
RANKS = ("large_init_large_final", "small_init_small_final")


def sign(x: float) -> int:
    return 0 if x == 0 else 1 if x > 0 else -1


FORMULAS = {
    "magnitude": lambda _, f: abs(f),
    "small_final": lambda _, f: -abs(f),
    "large_init": lambda i, _: abs(i),
    "small_init": lambda i, _: -abs(i),
    "magnitude_increase": lambda i, f: abs(f) - abs(i),
    "movement": lambda i, f: abs(f - i),
    "large_final_same_sign": lambda i, f: abs(f) if sign(i) == sign(f) else 0.0,
    "large_final_diff_sign": lambda i, f: 0.0 if sign(i) == sign(f) else abs(f),
    "magnitude_increase_same_sign": lambda i, f: abs(f) - abs(i) if sign(i) == sign(f) else 0.0,
    "magnitude_increase_diff_sign": lambda i, f: 0.0 if sign(i) == sign(f) else abs(f) - abs(i),
}


def no_draw():
    raise AssertionError("only the random criterion draws")


def uniform(num: int):
    return lambda: np.random.default_rng(5).random(num, dtype=np.float32)


def scored(criterion, initial, final):
    return score(criterion, initial, final, drawn=uniform(initial.size))


def with_ties(seed: int, num: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Quarters in [-2, 2]: many equal magnitudes, and zeros of both signs."""
    drawn = np.random.default_rng(seed).integers(-8, 9, (2, num)) / 4
    return tuple(-drawn.astype(np.float32))


pairs = st.integers(1, 20).flatmap(
    lambda n: st.tuples(*[hnp.arrays(np.float32, n, elements=st.floats(-4, 4, width=16))] * 2)
)


def test_every_criterion_has_a_definition_here():
    assert set(CRITERIA) == {*FORMULAS, *RANKS, "random"}


@pytest.mark.parametrize("criterion", FORMULAS)
def test_a_score_is_its_formula_in_float32(criterion):
    initial, final = with_ties(1)
    found = score(criterion, initial, final, drawn=no_draw)
    expected = [FORMULAS[criterion](i, f) for i, f in zip(initial.tolist(), final.tolist(), strict=True)]
    assert found.dtype == np.float32
    assert found.tolist() == np.array(expected, dtype=np.float32).tolist()


def test_random_scores_are_what_was_drawn():
    weights = np.ones(9, dtype=np.float32)
    assert np.array_equal(scored("random", weights, weights), uniform(9)())


@given(st.booleans(), pairs)
@example(True, tuple(np.random.default_rng(3).standard_normal((2, 50)).astype(np.float32)))
@example(False, tuple(np.random.default_rng(4).standard_normal((2, 50)).astype(np.float32)))
def test_keeping_the_best_of_both_is_keeping_what_lies_beyond_one_percentile_twice(large, case):
    criterion = RANKS[0] if large else RANKS[1]
    magnitudes = [[abs(float(w)) if large else -abs(float(w)) for w in weights] for weights in case]
    scores = scored(criterion, *case)
    num = len(scores)
    for below in range(num + 1):
        # the percentile with `below` weights at or under it, in each of the two orders
        limits = [sorted(values)[below - 1] if below else -math.inf for values in magnitudes]
        if any(sum(v <= limit for v in values) != below for values, limit in zip(magnitudes, limits, strict=True)):
            continue  # ties: no such percentile
        beyond = {k for k in range(num) if all(v[k] > limit for v, limit in zip(magnitudes, limits, strict=True))}
        kept = remove_smallest(scores, np.ones(num, dtype=np.bool_), num - len(beyond))
        assert set(np.flatnonzero(kept)) == beyond


def test_a_weight_must_be_large_at_both_ends_to_beat_one_that_is_middling_twice():
    initial = np.array([9, 0.1, 5, 1], dtype=np.float32)
    final = np.array([0.2, -8, -5, 0.1], dtype=np.float32)
    assert np.argmax(scored("large_init_large_final", initial, final)) == 2
    assert np.argmax(scored("small_init_small_final", initial, final)) == 3


@given(st.sampled_from(CRITERIA), pairs, st.floats(0, 1))
def test_the_count_is_exact_under_ties_and_no_removed_score_beats_a_kept_one(criterion, case, share):
    scores = scored(criterion, *case)
    num = int(share * len(scores))
    kept = remove_smallest(scores, np.ones(len(scores), dtype=np.bool_), num)
    assert kept.sum() == len(scores) - num
    if 0 < num < len(scores):
        assert scores[~kept].max() <= scores[kept].min()


@given(st.sampled_from(CRITERIA), pairs)
def test_doubling_all_weights_changes_no_order(criterion, case):
    initial, final = case
    order = np.argsort(scored(criterion, initial, final), kind="stable")
    assert np.array_equal(order, np.argsort(scored(criterion, 2 * initial, 2 * final), kind="stable"))


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_weight_that_is_not_finite_is_refused_by_every_criterion(criterion, place, bad):
    case = [np.ones(3, dtype=np.float32), np.ones(3, dtype=np.float32)]
    case[place][1] = bad
    with pytest.raises(ValueError, match="finite"):
        scored(criterion, *case)


def test_a_zero_has_a_sign_of_its_own():
    initial = np.array([0, 0, -0.0, 1], dtype=np.float32)
    final = np.array([2, -2, 0, 0], dtype=np.float32)
    assert scored("large_final_same_sign", initial, final).tolist() == [0, 0, 0, 0]
    assert scored("large_final_diff_sign", initial, final).tolist() == [2, 2, 0, 0]
