"""Train, prune, rewind, repeat."""

from __future__ import annotations

from itertools import islice, pairwise

import numpy as np
import pytest

from lth_core.controls import starting_point
from lth_core.lineage import Resume, run_control, run_lineage
from lth_core.masks import kept_per_layer, unpack_mask
from lth_core.pruning import density_ladder, next_mask
from lth_core.weights import content_digest, to_safetensors, weights_from_safetensors
from tests.support.tiny import tiny_data, tiny_lineage

LINEAGE = tiny_lineage(rewind_step=3)
NUM_LEVELS = 4


@pytest.fixture(scope="module")
def chain():
    return list(run_lineage(LINEAGE, tiny_data(), NUM_LEVELS))


def test_each_mask_is_the_previous_levels_weights_pruned_and_the_counts_follow_the_ladder(chain):
    assert [r.core["level"] for r in chain] == [0, 1, 2, 3]
    assert [r.core["kept"] for r in chain] == list(density_ladder(LINEAGE.tensors(), LINEAGE.prune, NUM_LEVELS))
    mask = None
    for before, after in pairwise(chain):
        mask = next_mask(LINEAGE, mask, before.final, rewind=chain[0].rewind, level=before.core["level"])
        assert all(np.array_equal(after.mask[name], mask[name]) for name in mask)
        assert not any((after.mask[name] & ~before.mask[name]).any() for name in mask)
        mask = after.mask


def test_the_rewind_weights_are_the_same_at_every_level(chain):
    assert len({content_digest(r.rewind) for r in chain}) == 1
    assert all(r.core["rewind_max_abs_err"] == 0 for r in chain)


def test_a_repeated_lineage_has_the_same_bits(chain):
    again = list(run_lineage(LINEAGE, tiny_data(), NUM_LEVELS))
    assert [r.core for r in again] == [r.core for r in chain]
    assert [r.curves for r in again] == [r.curves for r in chain]


@pytest.mark.parametrize("level", [1, 2, 3])
def test_a_lineage_resumed_from_stored_bytes_at_any_level_has_the_same_bits(chain, level):
    from lth_core.masks import pack_mask

    tensors = LINEAGE.tensors()
    dense = chain[0]
    if level == 1:
        final = weights_from_safetensors(to_safetensors(dense.final), tensors)
        mask = next_mask(LINEAGE, None, final, rewind=dense.rewind, level=0)
    else:
        mask = unpack_mask(pack_mask(chain[level - 1].next_mask, tensors), tensors)
    rewind = weights_from_safetensors(to_safetensors(dense.rewind), tensors)
    resumed = list(run_lineage(LINEAGE, tiny_data(), NUM_LEVELS, resume=Resume(level, mask, rewind)))
    assert [r.core for r in resumed] == [r.core for r in chain[level:]]


def test_a_longer_chain_begins_with_the_same_levels(chain):
    longer = LINEAGE.model_copy(update={"prune": LINEAGE.prune.model_copy(update={"levels": 9}), "keep": "all"})
    assert [r.core for r in islice(run_lineage(longer, tiny_data(), 10), 4)] == [r.core for r in chain]


def test_two_chains_in_turns_are_each_as_if_alone(chain):
    other = tiny_lineage(replicate=4)
    interleaved = []
    turns = (run_lineage(x, tiny_data(), 3) for x in (LINEAGE, other))
    for ours, theirs in zip(*turns, strict=True):
        interleaved.append(ours.core)
        assert theirs.core["replicate"] == 4
    assert interleaved == [r.core for r in chain[:3]]


def test_a_chain_ends_after_the_level_in_which_a_layer_has_lost_its_last_weight():
    lineage = tiny_lineage(
        prune={"output_fraction": 0.9, "fraction": 0.3, "levels": 20}, train={"steps": 5, "eval_every": 5}
    )
    levels = list(run_lineage(lineage, tiny_data(), 21))
    assert [r.core["collapsed"] for r in levels] == [False] * (len(levels) - 1) + [True]
    assert 1 < len(levels) < 21
    assert kept_per_layer(levels[-1].mask)["out.weight"] == 0


def test_a_control_trains_what_it_draws_from_each_ticket(chain):
    control = LINEAGE.model_copy(update={"treatment": "shuffled_mask", "repeat": 1})
    masks = [(r.core["level"], r.mask) for r in chain[1:]]
    levels = list(run_control(control, tiny_data(), masks, chain[0].rewind))
    assert [r.core["level"] for r in levels] == [1, 2, 3]
    for (level, mask), result in zip(masks, levels, strict=True):
        own = starting_point(control, level, mask, chain[0].rewind).mask
        assert all(np.array_equal(result.mask[name], own[name]) for name in own)
        assert result.core["digests"]["rewind"] == chain[0].core["digests"]["rewind"]
        assert result.core["validation_sha256"] == chain[0].core["validation_sha256"]
        assert result.core["seeds"].keys() == {"init", "split", "order", "control"}
