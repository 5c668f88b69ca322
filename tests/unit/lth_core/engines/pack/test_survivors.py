"""The optimizer's state lies at survivors, packed by tiles, and nowhere else."""

from __future__ import annotations

import numpy as np
import torch

from lth_core import random
from lth_core.engines.pack.layout import Arrangement
from lth_core.engines.pack.stages import Layer
from lth_core.engines.pack.state import PackState
from lth_core.engines.pack.survivors import BITS, SurvivorMoments, places_of, tile_order

LAYERS = (Layer(70, 100, 0, 7000), Layer(100, 3, 7100, 7400))
NUM = 7403
CPU = torch.device("cpu")


def drawn(density: float) -> np.ndarray:
    """A mask of about this density, biases kept."""
    keep = random.uniforms(5, NUM) < density
    for layer in LAYERS:
        keep[layer.bias : layer.bias + layer.outputs] = True
    return keep


def loaded(keep: np.ndarray, slot: int = 1) -> tuple[SurvivorMoments, list[np.ndarray]]:
    """Moments of a pack of three slots, one of which is loaded."""
    state = PackState(3, Arrangement(NUM), 0, 2, 4, CPU)
    moments = SurvivorMoments("adam", state, LAYERS)
    vectors = [np.where(keep, random.uniforms(seed, NUM), 0).astype(np.float32) for seed in (1, 2)]
    moments.load(slot, keep, vectors)
    return moments, vectors


def test_what_is_loaded_is_read_again():
    keep = drawn(0.3)
    moments, vectors = loaded(keep)
    for found, vector in zip(moments.read(1), vectors, strict=True):
        assert np.array_equal(found, vector)


def test_nothing_is_stored_for_a_pruned_weight():
    keep = drawn(0.05)
    moments, _ = loaded(keep)
    for rows in moments.vectors:
        assert rows[1, : keep.sum()].count_nonzero() == keep.sum()
        assert not rows[1, keep.sum() :].any()
        assert not rows[[0, 2]].any()


def test_an_update_reads_nothing_behind_the_survivors():
    keep = drawn(0.05)
    moments, _ = loaded(keep)
    for rows in moments.vectors:
        rows[1, keep.sum() :] = float("nan")
    state = moments._state
    state.clock.start([0, 1, 0])
    moments.update(torch.ones(1, state.weights.shape[1]), slice(1, 2))
    assert state.weights[1].isfinite().all()
    assert (state.weights[1, :NUM][~torch.from_numpy(keep)] == 0).all()
    assert (state.weights[1, :NUM][torch.from_numpy(keep)] != 0).all()


def test_a_program_finds_its_survivors_by_bits_and_their_places_by_counting():
    """What a kernel does, in words: a table says where its tile begins, the bits before a weight say the rest."""
    keep = drawn(0.3)
    moments, vectors = loaded(keep)
    order, _ = tile_order(LAYERS)
    assert sorted(order) == list(range(NUM))
    for layer, place in zip(LAYERS, places_of(LAYERS), strict=True):
        words = moments.words[1].numpy()[place.words :][: layer.outputs * place.words_of_row].view(np.uint32)
        words = words.reshape(layer.outputs, -1)
        columns = np.arange(layer.inputs)
        bits = (words[:, columns // BITS] >> (columns % BITS).astype(np.uint32)) & 1
        assert np.array_equal(bits != 0, keep[layer.weight : layer.bias].reshape(layer.outputs, layer.inputs))
        assert np.bitwise_count(words).sum() == keep[layer.weight : layer.bias].sum()
        tile = place.num_tiles - 1  # the last one, which is cut off at both sides
        top, left = (layer.outputs - 1) // 64 * 64, (layer.inputs - 1) // 64 * 64
        own = bits[top:, left:]
        begin = int(moments.begins[1, place.blocks + tile])
        packed = moments.vectors[0][1, begin : begin + own.sum()].numpy()
        whole = vectors[0][layer.weight : layer.bias].reshape(layer.outputs, layer.inputs)[top:, left:]
        assert np.array_equal(packed, whole[own != 0])
        biases = int(moments.begins[1, place.blocks + place.num_tiles])
        assert np.array_equal(
            moments.vectors[0][1, biases : biases + layer.outputs].numpy(),
            vectors[0][layer.bias : layer.bias + layer.outputs],
        )
