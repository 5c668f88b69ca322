"""Every count rule against the vectors of published systems."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lth_core.counts import COUNT_RULES, num_removed

LENET = ((235_200, 0.2), (30_000, 0.2), (1_000, 0.1))
VECTORS = {
    "round": ([188160, 150528, 120422], [24000, 19200, 15360], [900, 810, 729], 3179),
    "round_plus_1": ([188159, 150526, 120420], [23999, 19198, 15357], [899, 808, 726], 3160),
    "floor": ([188160, 150528, 120423], [24000, 19200, 15360], [900, 810, 729], 3188),
    "floor_plus_1": ([188159, 150527, 120421], [23999, 19199, 15359], [899, 809, 728], 3168),
    "ceil": ([188160, 150528, 120422], [24000, 19200, 15360], [900, 810, 729], 3171),
    "ceil_plus_1": ([188159, 150526, 120419], [23999, 19198, 15357], [899, 808, 726], 3152),
    "percentile": ([188160, 150528, 120422], [24000, 19200, 15360], [900, 810, 729], 3174),
    "percentile_plus_1": ([188160, 150528, 120422], [24000, 19200, 15360], [900, 810, 729], 3171),
}


def kept_after(rule: str, size: int, fraction: float, levels: int) -> list[int]:
    kept = [size]
    for _ in range(levels):
        kept.append(kept[-1] - num_removed(rule, fraction, kept[-1]))
    return kept


@pytest.mark.parametrize("rule", COUNT_RULES)
def test_a_rule_keeps_what_the_published_systems_keep(rule):
    *layers, total = VECTORS[rule]
    chains = [kept_after(rule, size, fraction, 20) for size, fraction in LENET]
    assert [chain[1:4] for chain in chains] == layers
    assert sum(chain[20] for chain in chains) == total


def test_open_lths_global_chain_is_reproduced_by_ceil_plus_1():
    assert kept_after("ceil_plus_1", 266_200, 0.2, 5) == [266200, 212959, 170366, 136291, 109031, 87223]


def test_torch_prune_is_reproduced_by_round():
    assert kept_after("round", 10_000, 0.15, 3)[1:] == [8500, 7225, 6141]
    assert kept_after("round", 64, 0.1, 3)[1:] == [58, 52, 47]


def test_products_are_formed_in_the_stated_order():
    assert [num_removed("round", 0.1, n) for n in (5, 25, 35)] == [0, 2, 4]
    assert num_removed("floor", 0.29, 100) == 28
    assert num_removed("floor", 0.2, 10) == 2
    assert num_removed("floor", 0.1, 1000) == 100


@given(st.sampled_from(sorted(COUNT_RULES)), st.floats(0.001, 0.999), st.integers(0, 10_000))
def test_no_rule_removes_more_than_there_is(rule, fraction, alive):
    assert 0 <= num_removed(rule, fraction, alive) <= alive


@pytest.mark.parametrize("rule", COUNT_RULES)
def test_a_fraction_of_zero_keeps_everything_and_nothing_is_removed_from_nothing(rule):
    assert num_removed(rule, 0.0, 100) == 0
    assert num_removed(rule, 0.5, 0) == 0


def test_what_is_no_fraction_is_refused():
    for fraction in (-0.1, 1.0, float("nan")):
        with pytest.raises(ValueError, match="fraction"):
            num_removed("round", fraction, 10)
    with pytest.raises(ValueError, match="num_alive"):
        num_removed("round", 0.2, -1)
