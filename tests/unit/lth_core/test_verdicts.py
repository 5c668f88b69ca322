"""Every verdict with the vectors that decide it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lth_core.parts import Rule
from lth_core.verdicts import Outcome, Pair, average, judge

DENSE_STEPS = (7500, 4100, 3900, 4700, 4400)
TICKET_STEPS = (4000, 4100, 4000, 2600, 3600)
FAST = (0.5, 0.52, 0.48, 0.5, 0.51)
BOUNDED = {
    "certified",
    "matching",
    "trained_matches",
    "initialisation_matters",
    "mask_matters",
    "lost",
}
CONTROLS = ("random_reinit", "shuffled_mask", "noise[sigma=3.0]")
PASSES, UNDECIDED, CLEAR = (-0.05, 0.31, 0.39), (-0.07, 0.06, 0.31), (0.36, 0.38, 0.32)


def pairs(points, *, ratios=FAST, control=None, control_points=None, control_ratios=None, converged=True):
    """Replicates whose tickets beat the dense network by `points` percentage points."""
    made = []
    for i, point in enumerate(points):
        dense = Outcome(0.98, 1000)
        ticket = Outcome(0.98 + point / 100, 1000 * ratios[i], converged)
        controls = {}
        if control:
            steps = ticket.early_stop_step / (control_ratios or (1.0,) * 9)[i]
            controls[control] = Outcome(ticket.accuracy - control_points[i] / 100, steps)
        made.append(Pair(dense, ticket, controls))
    return made


def verdicts(made, density=0.2, rule=None, **options):
    return judge(made, density, rule or Rule(), **options).verdicts


@pytest.mark.parametrize(("points", "verdict"), [(PASSES, "yes"), (UNDECIDED, "inconclusive"), (CLEAR, "yes")])
def test_certified_by_the_golden_differences(points, verdict):
    assert verdicts(pairs(points))["certified"] == verdict


def test_certified_by_the_golden_ratios():
    ratios = [t / d for t, d in zip(TICKET_STEPS, DENSE_STEPS, strict=True)]
    five = pairs((0.3, 0.31, 0.32, 0.3, 0.31), ratios=ratios)
    assert verdicts(five)["certified"] == "yes"
    assert verdicts(five, rule=Rule(speed_ratio=1.0))["certified"] == "inconclusive"
    assert verdicts(five[:3])["certified"] == "inconclusive"


def test_certified_is_refused_when_the_ticket_is_clearly_worse_or_clearly_slower():
    worse = verdicts(pairs((-0.6, -0.61, -0.59)))
    assert (worse["certified"], worse["lost"]) == ("no", "yes")
    slower = verdicts(pairs(CLEAR, ratios=(2.0, 2.1, 1.9)))
    assert (slower["certified"], slower["lost"]) == ("no", "no")


@pytest.mark.parametrize("n", [1, 2])
def test_fewer_than_three_replicates_decide_no_bound(n):
    found = verdicts(pairs(CLEAR[:n], control="random_reinit", control_points=CLEAR))
    assert {found[name] for name in ("certified", "initialisation_matters", "lost")} == {"inconclusive"}
    assert found["paper_point"] == "yes"


def test_the_margin_of_a_preset_widens_the_rule():
    assert verdicts(pairs(UNDECIDED), rule=Rule(margin=0.01))["certified"] == "yes"


@pytest.mark.parametrize(
    ("points", "ratios", "density", "verdict"),
    [
        ((0.1,), (0.9,), 0.2, "yes"),
        ((0.0,), (1.0,), 0.5, "yes"),
        ((0.1,), (0.9,), 0.51, "no"),
        ((-0.01,), (0.9,), 0.2, "no"),
        ((0.1,), (1.01,), 0.2, "no"),
        ((0.3, -0.1), (0.5, 1.4), 0.2, "yes"),
    ],
)
def test_the_papers_point_rule_compares_means(points, ratios, density, verdict):
    assert verdicts(pairs(points, ratios=ratios), density)["paper_point"] == verdict


@pytest.mark.parametrize(
    ("control", "name"), [("random_reinit", "initialisation_matters"), ("shuffled_mask", "mask_matters")]
)
def test_a_control_is_beaten_by_accuracy_or_by_speed(control, name):
    def against(points, ratios):
        return verdicts(pairs(CLEAR, control=control, control_points=points, control_ratios=ratios))[name]

    level = (0.01, -0.01, 0.0)
    assert against(CLEAR, (1.0, 1.01, 0.99)) == "yes"
    assert against(level, (0.5, 0.51, 0.49)) == "yes"
    assert against(level, (1.0, 1.01, 0.99)) == "inconclusive"
    assert against((-0.3, -0.31, -0.29), (1.5, 1.51, 1.49)) == "no"
    assert against((-0.3, -0.31, -0.29), (1.0, 1.01, 0.99)) == "inconclusive"


def test_without_the_control_nothing_is_known_of_it():
    found = verdicts(pairs(CLEAR, control="random_mask", control_points=CLEAR))
    assert found["initialisation_matters"] == found["mask_matters"] == "inconclusive"


def test_where_a_training_has_not_converged_speed_is_not_judged():
    found = judge(pairs(CLEAR, ratios=(3.0, 3.1, 2.9), converged=False), 0.2, Rule())
    assert found.verdicts["not_converged"] == "yes"
    assert found.verdicts["certified"] == "yes"
    assert found.speed_rule == "off: not converged"
    assert found.comparisons["dense"].speed is None
    assert verdicts(pairs(CLEAR))["not_converged"] == "no"


def test_with_fixed_steps_speed_is_not_judged():
    found = judge(pairs(CLEAR, ratios=(3.0, 3.1, 2.9)), 0.2, Rule(), fixed_steps=True)
    assert found.speed_rule == "off: fixed steps"
    assert found.verdicts["certified"] == found.verdicts["paper_point"] == "yes"


def test_a_rewound_ticket_is_called_matching():
    assert "matching" not in verdicts(pairs(CLEAR))
    assert verdicts(pairs(CLEAR), label="matching")["matching"] == "yes"


def test_a_control_that_ran_for_some_replicates_is_paired_with_those():
    made = pairs((*CLEAR, 0.4), control="random_reinit", control_points=(*CLEAR, 9.0))
    made[3] = Pair(made[3].dense, made[3].ticket)
    comparison = judge(made, 0.2, Rule()).comparisons["random_reinit"]
    assert comparison.accuracy.n == 3
    assert round(100 * comparison.accuracy.lower, 3) == 0.302


def test_draws_are_averaged_before_pairing():
    mean = average([Outcome(0.9, 100), Outcome(0.8, 400, converged=False)])
    assert mean.accuracy == pytest.approx(0.85)
    assert mean.early_stop_step == pytest.approx(200)
    assert not mean.converged


def test_comparisons_and_p_values_are_reported():
    found = judge(pairs(PASSES), 0.2, Rule())
    assert round(100 * found.comparisons["dense"].accuracy.lower, 3) == -0.178
    assert found.comparisons["dense"].as_json()["sign_p"] is None
    assert 0 < found.p_value < 0.05
    assert found.n == 3


def test_equal_outcomes_are_no_evidence_whatever_their_last_bits_say():
    noisy = [Pair(Outcome(0.9, 100), Outcome(0.9, 100), {"shuffled_mask": Outcome(0.9, 100 * (1 + 1e-15))})] * 3
    assert verdicts(noisy)["mask_matters"] == "inconclusive"
    assert verdicts(noisy, rule=Rule(margin=0.0))["certified"] == "inconclusive"
    assert verdicts(noisy)["paper_point"] == "yes"


accuracies = st.floats(0, 1, allow_nan=False)
steps = st.integers(1, 10_000)
outcomes = st.builds(Outcome, accuracies, steps, st.booleans())
any_pairs = st.builds(Pair, outcomes, outcomes, st.dictionaries(st.sampled_from(CONTROLS), outcomes))


@settings(max_examples=30)
@given(st.lists(any_pairs, min_size=1, max_size=2), st.sampled_from(["winning", "matching", "trained"]), st.booleans())
def test_whatever_one_or_two_replicates_reach_no_rule_with_bounds_decides(made, label, fixed_steps):
    found = judge(made, 0.2, Rule(margin=0.5, speed_ratio=100), label=label, fixed_steps=fixed_steps).verdicts
    assert {found[name] for name in BOUNDED & found.keys()} == {"inconclusive"}


@settings(max_examples=30)
@given(st.lists(any_pairs, min_size=1, max_size=6))
def test_a_trained_network_is_never_called_a_ticket(made):
    found = judge(made, 0.2, Rule(), label="trained")
    assert set(found.verdicts) == {"trained_matches", "lost", "not_converged"}
    assert found.speed_rule == "off: trained network"
    assert all(comparison.speed is None for comparison in found.comparisons.values())


@settings(max_examples=30)
@given(st.lists(any_pairs, min_size=3, max_size=6), st.sampled_from(["winning", "matching", "trained"]))
def test_no_level_both_matches_and_is_lost(made, label):
    found = judge(made, 0.2, Rule(), label=label).verdicts
    matches = [found.get(name) == "yes" for name in ("certified", "matching", "trained_matches")]
    assert not (found["lost"] == "yes" and any(matches))


@pytest.mark.parametrize(("points", "verdict"), [(PASSES, "yes"), (UNDECIDED, "inconclusive"), (CLEAR, "yes")])
def test_a_trained_network_is_judged_by_accuracy_alone(points, verdict):
    slow = pairs(points, ratios=(9.0, 9.1, 8.9))
    assert verdicts(slow, label="trained")["trained_matches"] == verdict
    assert verdicts(pairs((-0.6, -0.61, -0.59)), label="trained")["trained_matches"] == "no"


def test_a_better_mean_alone_certifies_nothing():
    lucky = pairs((2.0, -0.4, -0.3))
    assert verdicts(lucky)["paper_point"] == "yes"
    assert verdicts(lucky)["certified"] == "inconclusive"


def test_a_ticket_that_is_accurate_but_slow_is_not_certified():
    assert verdicts(pairs(CLEAR, ratios=(1.5, 1.6, 1.4)))["certified"] == "no"
    assert verdicts(pairs(CLEAR, ratios=(1.0, 1.3, 0.9)))["certified"] == "inconclusive"


def test_a_control_as_good_as_the_ticket_shows_nothing_and_a_better_one_shows_the_contrary():
    equal = pairs(CLEAR, control="random_reinit", control_points=(0.0, 0.0, 0.0))
    assert verdicts(equal)["initialisation_matters"] == "inconclusive"
    better = pairs(CLEAR, control="random_reinit", control_points=(-1.0, -1.1, -0.9), control_ratios=(2.0, 2.1, 1.9))
    assert verdicts(better)["initialisation_matters"] == "no"


def test_one_unconverged_replicate_is_enough_to_leave_speed_unjudged():
    made = pairs((*CLEAR, 0.35), ratios=(3.0, 3.1, 2.9, 3.0))
    made[2] = Pair(Outcome(made[2].dense.accuracy, 1000, converged=False), made[2].ticket)
    found = judge(made, 0.2, Rule())
    assert (found.verdicts["not_converged"], found.speed_rule) == ("yes", "off: not converged")
