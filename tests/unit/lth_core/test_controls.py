"""What each control keeps, and what it draws."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from lth_core import random
from lth_core.controls import starting_point
from lth_core.errors import UserError
from lth_core.initialisation import glorot_normal
from lth_core.masks import kept_per_layer
from lth_core.pruning import next_mask
from lth_core.weights import content_digest
from tests.support.tiny import tiny_lineage

LINEAGE = tiny_lineage(prune={"fraction": 0.4})
TENSORS = LINEAGE.tensors()
REWIND = glorot_normal(TENSORS, random.seed_key(0, "init"))
MASKS = [next_mask(LINEAGE, None, REWIND)]
for _ in range(3):
    MASKS.append(next_mask(LINEAGE, MASKS[-1], REWIND))


def start(treatment: str, level: int = 1, repeat: int = 0, replicate: int = 0):
    lineage = LINEAGE.model_copy(update={"treatment": treatment, "repeat": repeat, "replicate": replicate})
    return starting_point(lineage, level, MASKS[level - 1], REWIND)


def equal(a, b) -> bool:
    return all(np.array_equal(a[name], b[name]) for name in a)


def test_a_ticket_takes_its_mask_and_weights_as_they_are():
    for treatment in ("winning_ticket", "identity"):
        mask, weights = start(treatment)
        assert equal(mask, MASKS[0])
        assert content_digest(weights) == content_digest(REWIND)


def test_random_reinit_keeps_the_mask_and_draws_the_weights_anew_at_every_level():
    mask, weights = start("random_reinit", 2)
    assert equal(mask, MASKS[1])
    digests = {content_digest(start("random_reinit", level)[1]) for level in (1, 2, 3)}
    assert len(digests | {content_digest(REWIND)}) == 4
    assert not weights["fc1.bias"].any()


@pytest.mark.parametrize("treatment", ["random_mask", "shuffled_mask"])
def test_mask_controls_keep_weights_and_counts_per_layer(treatment):
    for level in (1, 2, 3, 4):
        mask, weights = start(treatment, level)
        assert kept_per_layer(mask) == kept_per_layer(MASKS[level - 1])
        assert not equal(mask, MASKS[level - 1])
        assert content_digest(weights) == content_digest(REWIND)


@pytest.mark.parametrize("treatment", ["random_reinit", "random_mask", "shuffled_mask"])
def test_equal_seeds_give_equal_draws_and_others_give_others(treatment):
    def drawn(**which):
        mask, weights = start(treatment, **which)
        return content_digest({**{f"m.{n}": m for n, m in mask.items()}, **weights})

    assert drawn() == drawn()
    assert len({drawn(), drawn(repeat=1), drawn(replicate=1)}) == 3


def test_random_masks_of_a_chain_are_nested():
    masks = [start("random_mask", level)[0] for level in (1, 2, 3, 4)]
    for before, after in itertools.pairwise(masks):
        assert not any((after[name] & ~before[name]).any() for name in after)


def test_shuffles_of_a_chain_are_drawn_at_every_level():
    one, two = start("shuffled_mask", 1)[0], start("shuffled_mask", 2)[0]
    assert any((two[name] & ~one[name]).any() for name in one)


def test_a_shuffle_really_moves_the_bits_and_leaves_the_given_mask_alone():
    before = {name: bits.copy() for name, bits in MASKS[0].items()}
    mask, _ = start("shuffled_mask")
    assert equal(before, MASKS[0])
    assert all(not np.array_equal(mask[name], before[name]) for name in mask)


def test_an_unknown_treatment_is_the_users_error():
    with pytest.raises(UserError, match="treatment must be one of"):
        start("reuse")
