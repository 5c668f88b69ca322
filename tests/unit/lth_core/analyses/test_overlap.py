"""Overlap of masks equals counts made by hand, and chance equals what independent masks share."""

from __future__ import annotations

import numpy as np
import pytest

from lth_core.analyses.overlap import Overlap, mask_overlap

RANDOM = np.random.default_rng(3)
SHAPES = {"fc1.weight": (30, 20), "out.weight": (5, 30)}


def random_mask(density: float) -> dict[str, np.ndarray]:
    return {name: RANDOM.random(shape) < density for name, shape in SHAPES.items()}


def test_every_measure_equals_a_count_over_sets_of_indices() -> None:
    a, b = random_mask(0.3), random_mask(0.6)
    found = mask_overlap(a, b)
    everything = {"a": set(), "b": set()}
    for name, shape in SHAPES.items():
        kept_a = {(name, i) for i in range(np.prod(shape)) if a[name].flat[i]}
        kept_b = {(name, i) for i in range(np.prod(shape)) if b[name].flat[i]}
        layer = found.layers[name]
        assert layer.containment == len(kept_a & kept_b) / len(kept_a)
        assert layer.jaccard == len(kept_a & kept_b) / len(kept_a | kept_b)
        assert layer.hamming == len(kept_a ^ kept_b) / np.prod(shape)
        everything["a"] |= kept_a
        everything["b"] |= kept_b
    both, either = everything["a"] & everything["b"], everything["a"] | everything["b"]
    assert found.total.containment == len(both) / len(everything["a"])
    assert found.total.jaccard == len(both) / len(either)
    assert found.total.hamming == len(everything["a"] ^ everything["b"]) / 750


def test_chance_is_what_independent_masks_of_these_densities_share() -> None:
    chance = Overlap(total=266_200, kept_a=56_094, kept_b=56_094, kept_both=0).by_chance
    density = 56_094 / 266_200
    assert chance.containment == pytest.approx(density)
    assert chance.jaccard == pytest.approx(density * density / (2 * density - density * density))
    assert chance.jaccard == pytest.approx(0.1178, abs=5e-5)
    assert chance.hamming == pytest.approx(2 * density * (1 - density))


def test_masks_drawn_at_random_overlap_as_chance_says() -> None:
    a, b = RANDOM.random(200_000) < 0.2, RANDOM.random(200_000) < 0.5
    found = mask_overlap({"w": a}, {"w": b}).layers["w"]
    assert found.jaccard == pytest.approx(found.by_chance.jaccard, abs=0.005)
    assert found.containment == pytest.approx(found.by_chance.containment, abs=0.01)
    assert found.hamming == pytest.approx(found.by_chance.hamming, abs=0.005)


def test_chance_within_layers_adds_up_the_layers_own_expectations() -> None:
    a = {"x": np.arange(100) < 90, "y": np.arange(100) < 10}
    b = {"x": np.arange(100) >= 10, "y": np.arange(100) >= 90}
    found = mask_overlap(a, b)
    expected = 90 * 90 / 100 + 10 * 10 / 100
    assert found.chance_within_layers.kept_both == pytest.approx(expected)
    assert found.total.by_chance.kept_both == pytest.approx(100 * 100 / 200)
    assert found.as_json()["total"]["chance_within_layers"]["containment"] == pytest.approx(expected / 100)


def test_a_layer_that_keeps_nothing_has_no_ratio() -> None:
    nothing = {"w": np.zeros(4, dtype=np.bool_)}
    found = mask_overlap(nothing, nothing).layers["w"]
    assert (found.containment, found.jaccard, found.hamming) == (None, None, 0.0)


def test_masks_of_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="same tensors"):
        mask_overlap({"w": np.ones((2, 3), np.bool_)}, {"w": np.ones((3, 2), np.bool_)})
