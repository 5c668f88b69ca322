"""Exact counts, the density ladder of the paper, and the invariants of selection."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lth_core import random
from lth_core.architecture import architecture
from lth_core.counts import COUNT_RULES, num_removed
from lth_core.initialisation import glorot_normal
from lth_core.masks import full_mask, kept_per_layer
from lth_core.model_spec import ModelSpec
from lth_core.names import Criterion
from lth_core.parts import Prune
from lth_core.pruning import density_ladder, expected_kept, next_mask, prune_by_magnitude, remove_smallest
from lth_core.scopes import scopes
from tests.support.tiny import tiny_lineage

LENET = architecture(ModelSpec(name="lenet_300_100"), (1, 28, 28), 10)
LENET_KEPT = [
    *(266200, 213060, 170538, 136511, 109282, 87490, 70051, 56094, 44923, 35981, 28823),
    *(23093, 18506, 14834, 11893, 9537, 7650, 6139, 4928, 3958, 3179),
]
LADDERS = {
    "conv_2": (0.1, "1.0000 .8010 .6416 .5141 .4120 .3302 .2647 .2123 .1703 .1366 .1097 .0881 .0708 .0569 .0457 .0368"),
    "conv_4": (0.1, "1.0000 .8108 .6584 .5355 .4363 .3561 .2913 .2388 .1962 .1616 .1335 .1106 .0918 .0765 .0640 .0537"),
    "conv_6": (0.15, "1.0000 .8254 .6820 .5639 .4668 .3867 .3207 .2661 .2211 .1838 .1529 .1274 .1062 .0886 .0739"),
}
PAPER_LABELS = {
    "lenet": {3: 51.3, 7: 21.1, 9: 13.5, 15: 3.6, 16: 2.9},
    "conv_2": {6: 26.5, 11: 8.8, 14: 4.6},
    "conv_4": {11: 11.1, 12: 9.2, 13: 7.7, 15: 5.4},
}


def conv(name: str):
    return architecture(ModelSpec(name=name), (3, 32, 32), 10)


def conv_prune(name: str) -> Prune:
    return Prune(fraction=0.2, conv_fraction=LADDERS[name][0], output_fraction=0.1, levels=20)


def prune_dense(lineage, weights):
    return next_mask(lineage, None, weights, rewind=weights, level=0)


def test_lenet_keeps_the_golden_counts_at_levels_0_to_20():
    assert density_ladder(LENET, Prune(levels=20), 21) == tuple(LENET_KEPT)


def test_pruning_real_weights_of_lenet_keeps_the_golden_counts_per_layer():
    lineage = tiny_lineage().model_copy(
        update={"model": ModelSpec(name="lenet_300_100"), "in_shape": (1, 28, 28), "num_classes": 10}
    )
    weights = glorot_normal(LENET, 3)
    mask = full_mask(LENET)
    per_level = [kept_per_layer(mask)]
    for level in range(20):
        mask = next_mask(lineage, mask, weights, rewind=weights, level=level)
        per_level.append(kept_per_layer(mask))
    assert [sum(kept.values()) for kept in per_level] == LENET_KEPT
    assert list(per_level[7].values()) == [49325, 6291, 478]
    assert list(per_level[15].values()) == [8275, 1056, 206]
    assert list(per_level[20].values()) == [2712, 346, 121]


@pytest.mark.parametrize(
    ("name", "first", "tenth"),
    [("conv_2", 3_444_909, 471_746), ("conv_4", 1_966_253, 323_687), ("conv_6", 1_866_429, 345_845)],
)
def test_conv_nets_keep_the_golden_totals(name, first, tenth):
    totals = density_ladder(conv(name), conv_prune(name), 11)
    assert (totals[1], totals[10]) == (first, tenth)


def test_conv_2_keeps_the_golden_counts_per_layer_at_level_1():
    expected = expected_kept(conv("conv_2"), conv_prune("conv_2"), full_mask(conv("conv_2")))
    assert [count for _, count in expected] == [1555, 33178, 3355443, 52429, 2304]


@pytest.mark.parametrize("name", LADDERS)
def test_the_density_ladder_is_that_of_the_formula(name):
    tensors, prune = conv(name), conv_prune(name)
    printed = [float(text) for text in LADDERS[name][1].split()]
    totals = density_ladder(tensors, prune, len(printed))
    for level, (kept, label) in enumerate(zip(totals, printed, strict=True)):
        formula = sum(s[0].size * (1 - fraction) ** level for s, fraction in scopes(tensors, prune)) / totals[0]
        assert abs(kept / totals[0] - formula) < 1e-5
        assert abs(kept / totals[0] - label) < 6e-5


@pytest.mark.parametrize("name", PAPER_LABELS)
def test_the_density_ladder_meets_the_labels_printed_in_the_paper(name):
    tensors, prune = (LENET, Prune(levels=20)) if name == "lenet" else (conv(name), conv_prune(name))
    totals = density_ladder(tensors, prune, 20)
    for level, percent in PAPER_LABELS[name].items():
        assert abs(100 * totals[level] / totals[0] - percent) <= 0.051


scores = hnp.arrays(np.float32, st.integers(1, 60), elements=st.floats(-4, 4, width=16))
fractions = st.floats(0.01, 0.99)
rules = st.sampled_from(sorted(COUNT_RULES))


@st.composite
def scopes_with_survivors(draw):
    weights = draw(scores)
    alive = draw(hnp.arrays(np.bool_, weights.shape))
    return weights, alive


@given(scopes_with_survivors(), fractions, rules)
def test_the_count_is_exact_the_masks_nested_and_no_removed_weight_beats_a_kept_one(case, fraction, rule):
    weights, alive = case
    kept = prune_by_magnitude(weights, alive, fraction, count_rule=rule)
    assert kept.sum() == alive.sum() - num_removed(rule, fraction, int(alive.sum()))
    assert not (kept & ~alive).any()
    removed = alive & ~kept
    if removed.any() and kept.any():
        assert np.abs(weights[removed]).max() <= np.abs(weights[kept]).min()


@given(scopes_with_survivors(), fractions)
def test_among_equal_magnitudes_the_lower_index_leaves_first(case, fraction):
    weights, alive = case
    kept = prune_by_magnitude(weights, alive, fraction)
    removed = alive & ~kept
    for index in np.flatnonzero(removed):
        equals = np.flatnonzero(kept & (np.abs(weights) == np.abs(weights[index])))
        assert (equals > index).all()


@given(scopes_with_survivors(), fractions)
def test_doubling_all_weights_keeps_the_mask(case, fraction):
    weights, alive = case
    assert np.array_equal(
        prune_by_magnitude(weights, alive, fraction), prune_by_magnitude(2 * weights, alive, fraction)
    )


@given(scopes_with_survivors(), st.integers(0, 70))
def test_what_leaves_are_the_first_of_a_stable_sort(case, num):
    weights, alive = case
    order = sorted(np.flatnonzero(alive), key=lambda k: (weights[k], k))
    kept = remove_smallest(weights, alive, num)
    assert set(np.flatnonzero(kept)) == set(order[num:])
    assert alive.sum() == len(order)


def test_five_equal_weights_leave_in_order():
    equal = np.full(5, 0.3, dtype=np.float32)
    assert remove_smallest(equal, np.ones(5, dtype=np.bool_), 2).tolist() == [False, False, True, True, True]


def test_negative_weights_are_large_too():
    weights = np.array([-3, 1, -0.5, 2], dtype=np.float32)
    assert prune_by_magnitude(weights, np.ones(4, dtype=np.bool_), 0.5).tolist() == [True, False, False, True]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_weight_that_is_not_finite_is_an_error_only_while_it_is_alive(bad):
    weights = np.array([1, bad, 3, 2], dtype=np.float32)
    with pytest.raises(ValueError, match="finite"):
        prune_by_magnitude(weights, np.ones(4, dtype=np.bool_), 0.5)
    alive = np.array([True, False, True, True])
    assert prune_by_magnitude(weights, alive, 0.5, count_rule="floor").tolist() == [False, False, True, True]


def test_the_order_of_a_dictionary_changes_no_mask():
    lineage = tiny_lineage(prune={"scope": "global"})
    weights = glorot_normal(lineage.tensors(), 3)
    one = prune_dense(lineage, weights)
    two = next_mask(
        lineage,
        dict(reversed(full_mask(lineage.tensors()).items())),
        dict(reversed(weights.items())),
        rewind=dict(reversed(weights.items())),
        level=0,
    )
    assert list(one) == list(two)
    assert all(np.array_equal(one[name], two[name]) for name in one)


def test_global_scope_is_one_ranking_over_all_layers():
    lineage = tiny_lineage(prune={"scope": "global", "fraction": 0.4})
    weights = glorot_normal(lineage.tensors(), 3)
    mask = prune_dense(lineage, weights)
    total = sum(m.size for m in mask.values())
    assert sum(m.sum() for m in mask.values()) == total - round(0.4 * total)
    kept = np.concatenate([np.abs(weights[n][m]) for n, m in mask.items()])
    removed = np.concatenate([np.abs(weights[n][~m]) for n, m in mask.items()])
    assert removed.max() <= kept.min()
    assert len({m.mean() for m in mask.values()}) > 1


def test_ties_across_tensors_leave_in_state_dict_order():
    lineage = tiny_lineage(prune={"scope": "global", "fraction": 0.5})
    weights = {t.name: np.ones(t.shape, dtype=np.float32) for t in lineage.tensors()}
    mask = prune_dense(lineage, weights)
    joined = np.concatenate([m.ravel() for m in mask.values()])
    assert not joined[: round(0.5 * joined.size)].any()
    assert joined[round(0.5 * joined.size) :].all()


@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize("name", ["out", "out.weight"])
def test_excluded_layers_stay_whole(scope, name):
    lineage = tiny_lineage(prune={"scope": scope, "fraction": 0.5, "exclude": [name]})
    mask = prune_dense(lineage, glorot_normal(lineage.tensors(), 3))
    assert mask["out.weight"].all()
    assert not mask["fc1.weight"].all()
    assert density_ladder(lineage.tensors(), lineage.prune, 2)[1] == sum(m.sum() for m in mask.values())


def test_a_kind_with_fraction_zero_stays_whole():
    lineage = tiny_lineage(prune={"output_fraction": 0.0})
    mask = prune_dense(lineage, glorot_normal(lineage.tensors(), 3))
    assert mask["out.weight"].all()
    assert not mask["fc2.weight"].all()


def test_weights_that_do_not_fit_are_refused():
    lineage = tiny_lineage()
    weights = glorot_normal(lineage.tensors(), 3)
    with pytest.raises(ValueError, match=r"fc1\.weight must have shape"):
        prune_dense(lineage, {**weights, "fc1.weight": weights["fc1.weight"].T})
    with pytest.raises(ValueError, match="covers exactly"):
        next_mask(lineage, {"fc1.weight": np.ones((12, 16), dtype=np.bool_)}, weights, rewind=weights, level=0)


def normal_weights(seed: int):
    generator = np.random.default_rng(seed)
    return {t.name: generator.normal(0, 1, t.shape).astype(np.float32) for t in tiny_lineage().tensors()}


WEIGHTS = {"rewind": normal_weights(0), "final": normal_weights(1)}
PRUNED = ("fc1.weight", "fc2.weight", "out.weight")


def survivors_of(mask, level: int, criterion: str, scope: str):
    lineage = tiny_lineage(prune={"criterion": criterion, "scope": scope, "fraction": 0.3, "output_fraction": 0.3})
    return next_mask(lineage, mask, WEIGHTS["final"], rewind=WEIGHTS["rewind"], level=level)


def alive_in(mask, names):
    """(name, index) of every survivor, in the order of ties."""
    return [(name, int(k)) for name in names for k in np.flatnonzero(mask[name])]


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_a_criterion_ranks_the_survivors_by_rewind_and_trained_weights(scope):
    mask = survivors_of(None, 0, "magnitude", scope)
    after = survivors_of(mask, 1, "magnitude_increase", scope)
    for names in [PRUNED] if scope == "global" else [[name] for name in PRUNED]:
        alive = alive_in(mask, names)
        gained = {
            (n, k): abs(float(WEIGHTS["final"][n].flat[k])) - abs(float(WEIGHTS["rewind"][n].flat[k])) for n, k in alive
        }
        leaving = sorted(alive, key=lambda at, gained=gained: gained[at])[: round(0.3 * len(alive))]
        assert set(alive_in(after, names)) == set(alive) - set(leaving)


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_percentiles_are_those_of_the_survivors_ranked_together(scope):
    mask = survivors_of(None, 0, "magnitude", scope)
    after = survivors_of(mask, 1, "large_init_large_final", scope)
    for names in [PRUNED] if scope == "global" else [[name] for name in PRUNED]:
        alive = alive_in(mask, names)
        ranks = []
        for when in ("rewind", "final"):
            ordered = sorted(alive, key=lambda at, when=when: abs(WEIGHTS[when][at[0]].flat[at[1]]))
            ranks.append({at: rank for rank, at in enumerate(ordered)})
        worst = sorted(alive, key=lambda at, ranks=ranks: min(rank[at] for rank in ranks))
        assert set(alive_in(after, names)) == set(alive) - set(worst[: round(0.3 * len(alive))])


def test_a_random_criterion_draws_from_its_stream_at_the_level_that_was_trained():
    mask = survivors_of(None, 0, "magnitude", "layer")
    key = random.seed_key(0, "criterion")
    for level in (1, 2):
        after = survivors_of(mask, level, "random", "layer")
        for place, name in enumerate(PRUNED):
            alive = [k for _, k in alive_in(mask, [name])]
            drawn = random.words(key, mask[name].size, step=level, tensor=2 * place)[:, 0] >> 9
            leaving = sorted(alive, key=lambda k, drawn=drawn: (int(drawn[k]), k))[: round(0.3 * len(alive))]
            assert {k for _, k in alive_in(after, [name])} == set(alive) - set(leaving)
    assert not all(
        np.array_equal(survivors_of(mask, 1, "random", "layer")[n], survivors_of(mask, 2, "random", "layer")[n])
        for n in PRUNED
    )


@pytest.mark.parametrize("criterion", get_args(Criterion))
@pytest.mark.parametrize("scope", ["layer", "global"])
def test_every_criterion_removes_exact_counts_from_nested_masks(criterion, scope):
    tensors = tiny_lineage().tensors()
    prune = Prune(fraction=0.3, output_fraction=0.3, scope=scope, levels=3)
    mask = full_mask(tensors)
    for level in range(3):
        expected = expected_kept(tensors, prune, mask)
        after = survivors_of(mask, level, criterion, scope)
        assert [sum(int(after[n].sum()) for n in names) for names, _ in expected] == [kept for _, kept in expected]
        assert not any((after[name] & ~mask[name]).any() for name in mask)
        mask = after
    assert sum(kept_per_layer(mask).values()) == density_ladder(tensors, prune, 4)[3]
