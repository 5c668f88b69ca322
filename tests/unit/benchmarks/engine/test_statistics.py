"""From samples to what is reported: on figures small enough to check by hand."""

from __future__ import annotations

import pytest

from benchmarks.engine.statistics import (
    Spread,
    interpolated,
    ks_p,
    lineage_seconds,
    paired_tost,
    ratios,
    window_steps,
)


def test_a_spread_is_the_median_with_lowest_and_highest():
    assert Spread.of([3.0, 1.0, 2.0, 10.0]) == Spread(2.5, 1.0, 10.0)
    assert f"{Spread(2.5, 1.0, 10.0):.1f}" == "2.5 [1.0, 10.0]"
    with pytest.raises(ValueError, match="at least one"):
        Spread.of([])


def test_the_median_of_ratios_is_not_the_ratio_of_medians():
    slow, fast = [10.0, 20.0, 90.0], [1.0, 10.0, 30.0]
    assert Spread.of(ratios(slow, fast)).median == 3.0
    with pytest.raises(ValueError, match="equal rounds"):
        ratios([1.0], [1.0, 2.0])


@pytest.mark.parametrize(("seconds", "steps"), [(0.3, 100), (0.25, 100), (0.1, 300), (0.01, 1000), (0.0, 1000)])
def test_a_window_lasts_long_enough_and_is_a_multiple_of_the_cadence(seconds, steps):
    assert window_steps(seconds) == steps


def test_a_window_is_never_empty_nor_longer_than_allowed():
    assert window_steps(1.0, at_least_s=0.0) == 100
    assert window_steps(1.0, at_least_s=0.0, most=4) == 4


def test_levels_between_measured_ones_lie_on_a_straight_line():
    costs = {0: 4.0, 5: 2.0, 20: 1.0}
    assert [interpolated(costs, level) for level in (0, 1, 5, 20)] == [4.0, pytest.approx(3.6), 2.0, 1.0]
    for outside in (21, -1):
        with pytest.raises(ValueError, match="within the measured"):
            interpolated(costs, outside)


def test_a_lineage_costs_its_steps_and_three_looks_at_the_test_set_per_level():
    steps = {0: 0.002, 2: 0.001}
    assert lineage_seconds(steps, [0, 1, 2], 1000) == pytest.approx([2.0, 1.5, 1.0])
    assert lineage_seconds(steps, [0, 1, 2], 1000, test_s={0: 0.1, 2: 0.1}) == pytest.approx([2.3, 1.8, 1.3])


def test_equal_accuracies_are_equivalent_and_shifted_ones_are_not():
    theirs = [0.97 + 0.001 * (i % 5) for i in range(20)]
    close = [value + 0.0004 * (-1) ** i for i, value in enumerate(theirs)]
    shifted = [value + 0.006 + 0.0004 * (-1) ** i for i, value in enumerate(theirs)]
    assert paired_tost(theirs, close, 0.005).equivalent
    assert not paired_tost(theirs, shifted, 0.005).equivalent


def test_too_few_noisy_pairs_show_no_equivalence():
    found = paired_tost([0.97, 0.98, 0.96], [0.98, 0.96, 0.97], 0.005)
    assert not found.equivalent
    assert found.interval[0] < -0.005


def test_the_interval_lies_within_the_bound_exactly_where_the_test_says_so():
    theirs = [0.0] * 6
    ours = [0.001, -0.002, 0.003, 0.0, 0.002, -0.001]
    found = paired_tost(theirs, ours, 0.005)
    edge = max(abs(found.interval[0]), abs(found.interval[1]))
    assert paired_tost(theirs, ours, edge * 1.01).equivalent
    assert not paired_tost(theirs, ours, edge * 0.99).equivalent


def test_identical_results_are_equivalent_without_any_spread():
    assert paired_tost([0.9, 0.8], [0.9, 0.8], 0.001).p == 0.0
    assert paired_tost([0.9, 0.8], [0.95, 0.85], 0.01).p > 0.5


def test_one_pair_is_too_few():
    with pytest.raises(ValueError, match="at least 2 pairs"):
        paired_tost([1.0], [1.0], 0.1)


def test_distributions_apart_are_told_apart():
    assert ks_p(list(range(20)), list(range(20))) == 1.0
    assert ks_p(list(range(20)), list(range(30, 50))) < 0.001
