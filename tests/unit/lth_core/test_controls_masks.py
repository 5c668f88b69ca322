"""Every control that has a mask of its own, recomputed from the ticket's mask, W_k, W_T and the definition."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from lth_core import random
from lth_core.controls import starting_point
from lth_core.errors import UserError
from lth_core.methods import method_scores
from lth_core.names import AT_INIT
from lth_core.pruning import next_mask
from tests.support.tiny import tiny_data, tiny_lineage

LINEAGE = tiny_lineage(prune={"fraction": 0.4})
TENSORS = LINEAGE.tensors()
NAMES = ("fc1.weight", "fc2.weight", "out.weight")
GENERATOR = np.random.default_rng(6)
REWIND, FINAL = ({t.name: GENERATOR.normal(0, 1, t.shape).astype(np.float32) for t in TENSORS} for _ in range(2))
MASKS = [next_mask(LINEAGE, None, FINAL, rewind=REWIND, level=0)]
for _level in range(1, 4):
    MASKS.append(next_mask(LINEAGE, MASKS[-1], FINAL, rewind=REWIND, level=_level))


def mask_of(treatment: str, level: int = 1, repeat: int = 0, lineage=LINEAGE, **given):
    own = lineage.model_copy(update={"treatment": treatment, "repeat": repeat})
    return starting_point(own, level, MASKS[level - 1], REWIND, **given).mask


def extreme(scores: np.ndarray, count: int, *, lowest: bool) -> np.ndarray:
    """The `count` lowest or highest scores of a layer without ties."""
    flat = scores.ravel().tolist()
    assert len(set(flat)) == len(flat)
    chosen = sorted(range(len(flat)), key=lambda k: flat[k], reverse=not lowest)[:count]
    kept = np.zeros(len(flat), dtype=np.bool_)
    kept[chosen] = True
    return kept.reshape(scores.shape)


@pytest.mark.parametrize("treatment", ["random_mask", "random_sparse"])
def test_a_random_mask_keeps_the_first_positions_of_one_random_order(treatment):
    key = random.seed_key(0, f"{treatment}:1")
    for level in (1, 3):
        found = mask_of(treatment, level, repeat=1)
        for place, name in enumerate(NAMES):
            drawn = random.bits64(key, found[name].size, tensor=2 * place)
            order = sorted(range(found[name].size), key=lambda k, drawn=drawn: (int(drawn[k]), k))
            assert set(np.flatnonzero(found[name])) == set(order[: int(MASKS[level - 1][name].sum())])


@pytest.mark.parametrize("treatment", ["random_mask", "random_sparse", "magnitude_at_init"])
def test_masks_of_a_chain_are_nested(treatment):
    masks = [mask_of(treatment, level) for level in (1, 2, 3, 4)]
    for before, after in itertools.pairwise(masks):
        assert not any((after[name] & ~before[name]).any() for name in after)


def test_a_shuffle_permutes_the_bits_of_each_tensor_anew_at_every_level():
    key = random.seed_key(0, "shuffled_mask:0")
    for level in (1, 2):
        found = mask_of("shuffled_mask", level)
        for place, name in enumerate(NAMES):
            order = random.permutation(key, found[name].size, step=level, tensor=2 * place)
            bits = MASKS[level - 1][name].ravel()
            assert found[name].ravel().tolist() == [bool(bits[k]) for k in order]
            assert not np.array_equal(found[name], MASKS[level - 1][name])
    one, two = mask_of("shuffled_mask", 1), mask_of("shuffled_mask", 2)
    assert any((two[name] & ~one[name]).any() for name in one)


def test_magnitude_at_init_keeps_each_layers_largest_rewind_weights():
    for level in (1, 4):
        found = mask_of("magnitude_at_init", level)
        for name in NAMES:
            expected = extreme(np.abs(REWIND[name]), int(MASKS[level - 1][name].sum()), lowest=False)
            assert np.array_equal(found[name], expected)


@pytest.mark.parametrize(("method", "level"), [("imp", 1), ("imp", 3), ("one_shot", 2), ("gradual", 2)])
def test_inverted_scores_keep_the_smallest_trained_weights_of_the_dense_network(method, level):
    found = mask_of("invert_scores", level, lineage=LINEAGE.model_copy(update={"method": method}), dense_final=FINAL)
    for name in NAMES:
        count = int(MASKS[level - 1][name].sum())
        assert np.array_equal(found[name], extreme(np.abs(FINAL[name]), count, lowest=True))


def test_inverted_scores_are_those_of_the_criterion():
    lineage = tiny_lineage(prune={"fraction": 0.4, "criterion": "movement", "scope": "global"})
    found = mask_of("invert_scores", 2, lineage=lineage, dense_final=FINAL)
    for name in NAMES:
        moved = np.abs(FINAL[name] - REWIND[name])
        assert np.array_equal(found[name], extreme(moved, int(MASKS[1][name].sum()), lowest=True))


@pytest.mark.parametrize("method", sorted(AT_INIT))
def test_inverted_scores_of_a_method_at_initialisation_are_its_own(method):
    lineage = LINEAGE.model_copy(update={"method": method})
    found = mask_of("invert_scores", 2, lineage=lineage, data=tiny_data())
    scores = method_scores(lineage, rewind=REWIND, dense_final=None, data=tiny_data())
    for name in NAMES:
        kept, left = scores[name][found[name]], scores[name][~found[name]]
        assert found[name].sum() == MASKS[1][name].sum()
        assert kept.max() <= left.min()


def test_inverting_leaves_whole_what_is_never_pruned():
    lineage = tiny_lineage(prune={"fraction": 0.4, "exclude": ["out"]})
    mask = next_mask(lineage, None, FINAL, rewind=REWIND, level=0)
    own = lineage.model_copy(update={"treatment": "invert_scores"})
    found = starting_point(own, 1, mask, REWIND, dense_final=FINAL).mask
    assert found["out.weight"].all()
    assert not found["fc1.weight"].all()


def test_inverting_needs_the_trained_weights_or_the_data():
    with pytest.raises(UserError, match="dense network are needed"):
        mask_of("invert_scores")
    with pytest.raises(UserError, match="data set is needed"):
        mask_of("invert_scores", lineage=LINEAGE.model_copy(update={"method": "grasp"}))
