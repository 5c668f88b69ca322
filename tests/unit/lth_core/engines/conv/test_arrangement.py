"""Which units of a pruned network are dead, and that every parameter has exactly one place."""

from __future__ import annotations

import numpy as np
import pytest

from lth_core.architecture import architecture, prunable
from lth_core.engines.conv.arrangement import arrange, live_units
from lth_core.masks import Mask, full_mask
from lth_core.model_spec import ModelSpec

TENSORS = architecture(ModelSpec(name="conv_2"), (3, 6, 4), 5)
WEIGHTS = prunable(TENSORS)
MAP_SIZE = (3, 2)


def random_mask(density: float) -> Mask:
    generator = np.random.default_rng(1)
    return {name: generator.random(bits.shape) < density for name, bits in full_mask(TENSORS).items()}


def test_a_unit_whose_outgoing_weights_are_all_pruned_is_dead():
    mask = full_mask(TENSORS)
    mask["conv2.weight"][:, 7] = False
    mask["fc1.weight"].reshape(256, 64, -1)[:, 9] = False
    mask["out.weight"][:, 11] = False
    conv1, conv2, fc1, fc2, out = live_units(WEIGHTS, mask)
    assert 7 not in conv1
    assert len(conv1) == 63
    assert 9 not in conv2
    assert len(conv2) == 63
    assert len(fc1) == 256
    assert 11 not in fc2
    assert len(fc2) == 255
    assert len(out) == 5


def test_a_map_that_is_read_at_one_position_only_is_live():
    mask = full_mask(TENSORS)
    maps = mask["fc1.weight"].reshape(256, 64, -1)
    maps[:, 9] = False
    maps[200, 9, 5] = True
    assert 9 in live_units(WEIGHTS, mask)[1]


def test_a_unit_that_only_dead_units_read_is_dead():
    mask = full_mask(TENSORS)
    mask["out.weight"][:, 3] = False
    mask["fc2.weight"][:, 20] = False
    mask["fc2.weight"][3, 20] = True
    assert 20 not in live_units(WEIGHTS, mask)[2]


def test_a_unit_without_incoming_weights_is_live():
    mask = full_mask(TENSORS)
    mask["conv1.weight"][5] = False
    mask["fc1.weight"][8] = False
    conv1, _, fc1, *_ = live_units(WEIGHTS, mask)
    assert 5 in conv1
    assert 8 in fc1


def test_a_layer_that_nobody_reads_keeps_one_unit():
    mask = full_mask(TENSORS)
    mask["fc2.weight"][:] = False
    assert [len(units) for units in live_units(WEIGHTS, mask)] == [64, 64, 1, 256, 5]


@pytest.mark.parametrize("density", [0.5, 0.05, 0.01])
def test_everything_that_is_kept_is_trained_once_and_nothing_else(density: float):
    mask = random_mask(density)
    found = arrange(TENSORS, mask, MAP_SIZE)
    kept = np.concatenate([mask[t.name].reshape(-1) if t.prunable else np.ones(t.size, bool) for t in TENSORS])
    assert sorted(found.trained) == np.flatnonzero(kept).tolist()
    assert found.live is not None
    assert len(found.live) == found.num_live == len(set(found.live))
    assert found.num_work < arrange(TENSORS, None, MAP_SIZE).num_work or density == 0.5


def test_the_first_dense_layer_reads_its_inputs_by_row_column_and_channel():
    found = arrange(TENSORS, None, MAP_SIZE)
    first = sum(layer.size + layer.shape[0] for layer in found.layers[:2])
    row = found.trained[first : first + 64 * 6]
    channels = np.arange(64 * 6).reshape(64, 3, 2).transpose(1, 2, 0).reshape(-1)
    assert (row - row.min()).tolist() == channels.tolist()


def test_a_mask_of_ones_is_arranged_as_no_mask():
    ones, none = arrange(TENSORS, full_mask(TENSORS), MAP_SIZE), arrange(TENSORS, None, MAP_SIZE)
    assert ones.live is None
    assert (ones.trained == none.trained).all()


def test_a_mask_of_another_network_is_refused():
    with pytest.raises(ValueError, match="a mask covers exactly"):
        arrange(TENSORS, {"conv1.weight": np.ones((64, 3, 3, 3), bool)}, MAP_SIZE)
