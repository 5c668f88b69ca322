"""Layer densities equal ratios of the golden counts of LeNet at level 7."""

from __future__ import annotations

import pytest

from lth_core.analyses.layer_densities import layer_densities

LAYERS = [
    {"name": "fc1.weight", "kind": "fc", "kept": 49_325, "total": 235_200, "shape": [300, 784]},
    {"name": "fc2.weight", "kind": "fc", "kept": 6_291, "total": 30_000, "shape": [100, 300]},
    {"name": "out.weight", "kind": "output", "kept": 478, "total": 1_000, "shape": [10, 100]},
]


def test_density_relative_density_and_share_are_ratios_of_counts() -> None:
    first, _, last = layer_densities(LAYERS)
    assert first.density == 49_325 / 235_200
    assert last.relative == pytest.approx((478 / 1_000) / (56_094 / 266_200))
    assert last.share == 478 / 56_094
    assert sum(layer.share or 0 for layer in layer_densities(LAYERS)) == pytest.approx(1)


def test_a_network_that_keeps_nothing_has_no_shares() -> None:
    (layer,) = layer_densities([{"name": "w", "kind": "fc", "kept": 0, "total": 4}])
    assert (layer.density, layer.relative, layer.share) == (0.0, None, None)
