"""Uniform, Erdos-Renyi and Erdos-Renyi-kernel densities, and the exact counts made of them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lth_core.architecture import architecture, prunable
from lth_core.layer_densities import densities, spread
from lth_core.model_spec import ModelSpec
from lth_core.tensor_spec import TensorSpec

LENET = prunable(architecture(ModelSpec(name="lenet_300_100"), (1, 28, 28), 10))
CONV_4 = prunable(architecture(ModelSpec(name="conv_4"), (3, 32, 32), 10))
GOLDEN_ERK = [
    (LENET, [0.07957, 0.23019, 1]),
    (CONV_4, [1, 0.09063, 0.06696, 0.04430, 0.10044, 0.19479, 1]),
]


def size(layers) -> int:
    return sum(layer.size for layer in layers)


def layer(*shape: int) -> TensorSpec:
    return TensorSpec("x.weight", shape, "conv" if len(shape) > 2 else "fc", 1, 1)


shapes = st.one_of(
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.tuples(st.integers(1, 12), st.integers(1, 12), st.integers(1, 3), st.integers(1, 3)),
)
networks = st.lists(shapes.map(lambda shape: layer(*shape)), min_size=1, max_size=6)


@pytest.mark.parametrize(("layers", "expected"), GOLDEN_ERK)
def test_erk_gives_the_golden_densities_at_a_tenth(layers, expected):
    found = densities("erk", layers, 0.1 * size(layers))
    assert [round(density, 5) for density in found] == expected


def test_er_and_erk_agree_without_kernels_and_part_with_them():
    assert densities("er", LENET, 26_620) == densities("erk", LENET, 26_620)
    er, erk = densities("er", CONV_4, 242_502), densities("erk", CONV_4, 242_502)
    assert er[1] / er[2] == pytest.approx(((64 + 64) / (64 * 64)) / ((128 + 64) / (128 * 64)))
    assert erk[1] / erk[2] == pytest.approx(((64 + 64 + 6) / (64 * 64)) / ((128 + 64 + 6) / (128 * 64)))


@given(st.sampled_from(["uniform", "er", "erk"]), networks, st.floats(0, 1))
def test_counts_are_exact_and_within_one_weight_of_the_density(kind, layers, share):
    total = int(share * size(layers))
    counts = spread(kind, layers, total)
    wanted = densities(kind, layers, total)
    assert sum(counts) == total
    assert all(0 <= count <= tensor.size for count, tensor in zip(counts, layers, strict=True))
    assert all(abs(c - d * t.size) < 1 + 1e-6 for c, d, t in zip(counts, wanted, layers, strict=True))


@given(st.sampled_from(["er", "erk"]), networks, st.floats(0.01, 1))
def test_open_layers_share_one_scale_and_full_ones_would_exceed_it(kind, layers, share):
    dims = 2 if kind == "er" else 4
    total = share * size(layers)
    found = densities(kind, layers, total)
    raw = [sum(tensor.shape[:dims]) / math.prod(tensor.shape[:dims]) for tensor in layers]
    scales = [d / r for d, r in zip(found, raw, strict=True)]
    scale = max(scales)
    assert math.isclose(sum(d * t.size for d, t in zip(found, layers, strict=True)), total, rel_tol=1e-9)
    for density, r, own in zip(found, raw, scales, strict=True):
        assert density == 1 or math.isclose(own, scale, rel_tol=1e-9) or math.isclose(density, 1, rel_tol=1e-9)
        assert density <= 1
        if density == 1:
            assert r * scale >= 1 - 1e-9


def test_the_weights_left_over_go_to_the_largest_remainders_the_earlier_layer_first():
    thirds = [layer(1, 3), layer(1, 3), layer(1, 3)]
    assert spread("uniform", thirds, 4) == (2, 1, 1)
    assert spread("uniform", [layer(1, 10), layer(1, 25)], 7) == (2, 5)
    assert spread("uniform", [layer(1, 10), layer(1, 26)], 7) == (2, 5)
    assert spread("uniform", [layer(1, 4), layer(1, 26)], 7) == (1, 6)


def test_more_than_there_is_cannot_be_kept():
    for total in (-1, 101):
        with pytest.raises(ValueError, match="total must be >= 0 and <= 100"):
            spread("erk", [layer(10, 10)], total)
