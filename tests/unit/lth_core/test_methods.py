"""The mask of every method that takes it from the dense network, recomputed from W_k, W_T and scores."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from lth_core import random
from lth_core.criteria import score
from lth_core.errors import UserError
from lth_core.methods import find_mask, method_scores
from lth_core.names import AT_INIT
from lth_core.scores_at_init import grasp, scores_from_data, snip
from lth_core.targets import kept_at
from tests.support.tiny import tiny_data, tiny_lineage

DATA = tiny_data()
NAMES = ("fc1.weight", "fc2.weight", "out.weight")
SIZES = (192, 96, 24)
GENERATOR = np.random.default_rng(2)
TENSORS = tiny_lineage().tensors()
REWIND, FINAL = ({t.name: GENERATOR.normal(0, 1, t.shape).astype(np.float32) for t in TENSORS} for _ in range(2))


def lineage_of(method: str, **prune):
    return tiny_lineage(method=method, prune={"levels": 4, "fraction": 0.3, **prune})


def found(lineage, level: int, **changes):
    given = {"rewind": REWIND, "dense_final": FINAL, "data": DATA, **changes}
    return find_mask(lineage, level, **given)


def best(scores, names, count):
    """The `count` best of the joined tensors, one weight at a time: among equals the later one stays."""
    everything = [
        (float(value), place, name, index)
        for place, name in enumerate(names)
        for index, value in enumerate(np.ravel(scores[name]))
    ]
    kept = {name: np.zeros(scores[name].size, dtype=np.bool_) for name in names}
    for _, _, name, index in sorted(everything, key=lambda e: (e[0], e[1], e[3]))[len(everything) - count :]:
        kept[name][index] = True
    return {name: bits.reshape(scores[name].shape) for name, bits in kept.items()}


def laddered(fraction: float, size: int, level: int) -> int:
    for _ in range(level):
        size -= round(fraction * size)
    return size


def same(mask, expected) -> bool:
    return list(mask) == list(expected) and all(np.array_equal(mask[name], expected[name]) for name in expected)


def test_the_first_mask_of_an_iterated_chain_keeps_the_largest_trained_weights():
    mask = found(lineage_of("imp"), 1)
    expected = {}
    for name, size, fraction in zip(NAMES, SIZES, (0.3, 0.3, 0.15), strict=True):
        expected |= best({name: np.abs(FINAL[name])}, [name], laddered(fraction, size, 1))
    assert same(mask, expected)


@pytest.mark.parametrize("level", [1, 4])
def test_one_shot_reaches_the_count_of_a_level_in_one_step(level):
    mask = found(lineage_of("one_shot"), level)
    expected = {}
    for name, size, fraction in zip(NAMES, SIZES, (0.3, 0.3, 0.15), strict=True):
        expected |= best({name: np.abs(FINAL[name])}, [name], laddered(fraction, size, level))
    assert same(mask, expected)


def test_one_shot_ranks_by_its_criterion_in_one_pool_under_global_scope():
    mask = found(lineage_of("one_shot", criterion="movement", scope="global"), 2)
    scores = {name: np.abs(FINAL[name] - REWIND[name]) for name in NAMES}
    assert same(mask, best(scores, NAMES, laddered(0.3, sum(SIZES), 2)))


def test_one_shot_at_named_densities_counts_whole_layers_as_kept():
    lineage = lineage_of("one_shot", levels=2, densities=[0.5, 0.2], scope="global", exclude=["out"])
    mask = found(lineage, 2)
    expected = best({name: np.abs(FINAL[name]) for name in NAMES[:2]}, NAMES[:2], round(0.2 * 312) - 24)
    assert same(mask, {**expected, "out.weight": np.ones((3, 8), dtype=np.bool_)})


def test_one_shot_by_a_random_criterion_draws_as_the_first_level_of_a_chain():
    assert same(found(lineage_of("one_shot", criterion="random"), 1), found(lineage_of("imp", criterion="random"), 1))


def test_magnitude_at_init_ranks_the_rewind_weights():
    mask = found(lineage_of("magnitude_at_init", scope="global", densities=[0.25], levels=1), 1, dense_final=None)
    assert same(mask, best({name: np.abs(REWIND[name]) for name in NAMES}, NAMES, 78))


def drawn(place: int, size: int) -> np.ndarray:
    """23 bits of the first Philox word of (element, 0, tensor), in the middle of their cell."""
    key = random.seed_key(0, "random_at_init")
    first = random.philox(key, np.arange(size), 0, place)[:, 0].astype(np.int64) // 512
    return (first + 0.5) / 2**23


def test_random_at_init_ranks_uniform_numbers_of_a_stream_of_its_own():
    mask = found(lineage_of("random_at_init"), 3)
    expected = {}
    for i, (tensor, fraction) in enumerate(zip(NAMES, (0.3, 0.3, 0.15), strict=True)):
        scores = {tensor: drawn(2 * i, SIZES[i]).reshape(REWIND[tensor].shape)}
        expected |= best(scores, [tensor], laddered(fraction, SIZES[i], 3))
    assert same(mask, expected)


def test_random_at_init_spreads_weights_by_erk():
    mask = found(lineage_of("random_at_init", levels=1, densities=[0.5], layer_densities="erk"), 1)
    raw = [(16 + 12) / 192, (12 + 8) / 96, (8 + 3) / 24]
    scale = 156 / sum(r * n for r, n in zip(raw, SIZES, strict=True))
    assert scale * raw[2] > 1  # the output layer becomes dense, the others share the rest
    scale = (156 - 24) / (raw[0] * 192 + raw[1] * 96)
    counts = [mask[name].sum() for name in NAMES]
    assert sum(counts) == 156
    assert counts[2] == 24
    assert abs(counts[0] - scale * raw[0] * 192) < 1


@pytest.mark.parametrize(("method", "saliency"), [("snip", snip), ("grasp", grasp)])
@pytest.mark.parametrize("scope", ["layer", "global"])
def test_snip_and_grasp_keep_their_highest_scores(method, saliency, scope):
    lineage = lineage_of(method, levels=1, densities=[0.1], scope=scope)
    scores = scores_from_data(saliency, lineage, REWIND, DATA)
    groups = [NAMES] if scope == "global" else [[name] for name in NAMES]
    counts = [31] if scope == "global" else [19, 10, 2]
    expected = {}
    for names, count in zip(groups, counts, strict=True):
        expected |= best({name: scores[name] for name in names}, names, count)
    assert same(found(lineage, 1, dense_final=None), expected)


@pytest.mark.parametrize("method", sorted(AT_INIT | {"one_shot"}))
def test_counts_are_exact_at_every_level_and_masks_of_one_ranking_nested(method):
    lineage = lineage_of(method)
    masks = [found(lineage, level) for level in (1, 2, 3, 4)]
    for level, mask in enumerate(masks, start=1):
        counts = [
            (names, sum(int(mask[name].sum()) for name in names))
            for names, _ in kept_at(TENSORS, lineage.prune, method, level)
        ]
        assert counts == kept_at(TENSORS, lineage.prune, method, level)
    if method != "synflow":
        for before, after in itertools.pairwise(masks):
            assert not any((after[name] & ~before[name]).any() for name in after)


@pytest.mark.parametrize("method", sorted(AT_INIT | {"one_shot", "imp"}))
def test_the_order_of_dictionaries_and_a_second_run_change_no_mask(method):
    lineage = lineage_of(method)
    again = found(lineage, 1, rewind=dict(reversed(REWIND.items())), dense_final=dict(reversed(FINAL.items())))
    assert same(found(lineage, 1), again)


def test_replicates_draw_other_masks():
    lineage = lineage_of("random_at_init")
    assert not same(found(lineage, 1), found(lineage.model_copy(update={"replicate": 1}), 1))


def test_scores_of_methods_that_train_first_are_those_of_the_criterion_on_the_dense_network():
    for method in ("imp", "one_shot", "gradual"):
        lineage = lineage_of(method, criterion="large_init_large_final" if method == "imp" else "magnitude")
        found_scores = method_scores(lineage, rewind=REWIND, dense_final=FINAL, data=None)
        for name in NAMES:
            flat = [values[name].ravel() for values in (REWIND, FINAL)]
            expected = score(lineage.prune.criterion, *flat, drawn=lambda: np.zeros(1, np.float32))
            assert np.array_equal(found_scores[name].ravel(), expected)


def test_what_a_method_needs_is_named():
    with pytest.raises(UserError, match="one_shot ranks trained weights"):
        found(lineage_of("one_shot"), 1, dense_final=None)
    with pytest.raises(UserError, match="its data set is needed"):
        method_scores(lineage_of("snip"), rewind=REWIND, dense_final=None, data=None)


def test_methods_that_find_masks_elsewhere_are_refused():
    for method, level in (("gradual", 1), ("transfer", 1), ("imp", 2)):
        with pytest.raises(ValueError, match="finds no mask"):
            found(lineage_of(method), level)


def test_scores_that_are_not_finite_are_refused():
    broken = {**REWIND, "fc2.weight": np.full((8, 12), np.nan, dtype=np.float32)}
    with pytest.raises(ValueError, match="finite"):
        found(lineage_of("magnitude_at_init"), 1, rewind=broken)
    with pytest.raises(ValueError, match="finite"):
        found(lineage_of("snip"), 1, rewind=broken)


def test_layers_that_keep_nothing_are_counted_like_any_other():
    lineage = lineage_of("magnitude_at_init", levels=1, densities=[0.004])
    mask = found(lineage, 1)
    assert [int(mask[name].sum()) for name in NAMES] == [1, 0, 0]
