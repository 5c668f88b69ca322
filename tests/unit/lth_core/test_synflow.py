"""SynFlow against the product of absolute weights along paths, and its iteration written out in plain numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lth_core.errors import UserError
from lth_core.masks import full_mask
from lth_core.methods import find_mask
from lth_core.model_spec import ModelSpec
from lth_core.synflow import synaptic_flow
from lth_core.targets import targets
from tests.support.tiny import tiny_data, tiny_lineage

CPU = torch.device("cpu")
TWO_LAYERS = ModelSpec(name="mlp", sizes=(16, 5, 3))


def lineage_of(**prune):
    return tiny_lineage(model=TWO_LAYERS, method="synflow", prune=prune)


def weights_of(lineage, seed: int = 1):
    generator = np.random.default_rng(seed)
    return {t.name: generator.normal(0, 1, t.shape).astype(np.float32) for t in lineage.tensors()}


def paths(weights, mask):
    """|w dR/dw|: for each weight the sum over all paths through it of the product of absolute weights.

    A path starts at one of the inputs of 1, or at a bias of the hidden layer, and ends at any output.
    """
    first, second = (np.abs(weights[f"{n}.weight"].astype(np.float64)) * mask[f"{n}.weight"] for n in ("fc1", "out"))
    offset = np.abs(weights["fc1.bias"].astype(np.float64))
    through = {"fc1.weight": np.zeros_like(first), "out.weight": np.zeros_like(second)}
    for hidden in range(first.shape[0]):
        for output in range(second.shape[0]):
            for source in range(first.shape[1]):
                product = first[hidden, source] * second[output, hidden]
                through["fc1.weight"][hidden, source] += product
                through["out.weight"][output, hidden] += product
            through["out.weight"][output, hidden] += offset[hidden] * second[output, hidden]
    return through


def iterate(weights, mask, groups):
    """A hundred prunings to an exponentially falling share of each group."""
    mask = {name: kept.copy() for name, kept in mask.items()}
    for i in range(1, 101):
        flow = paths(weights, mask)
        for names, goal in groups:
            size = sum(mask[name].size for name in names)
            wanted = goal if i == 100 else round(size * (goal / size) ** (i / 100))
            alive = [(flow[n].ravel()[k], j, k) for j, n in enumerate(names) for k in np.flatnonzero(mask[n])]
            for _, j, k in sorted(alive)[: len(alive) - wanted]:
                mask[names[j]].ravel()[k] = False
    return mask


def test_the_flow_through_a_weight_is_the_sum_of_its_paths():
    lineage = lineage_of()
    weights = weights_of(lineage)
    mask = full_mask(lineage.tensors())
    mask["fc1.weight"][:, 3:9] = False
    found = synaptic_flow(lineage, weights, mask, CPU)
    for name, expected in paths(weights, mask).items():
        assert found[name].dtype == np.float64
        assert np.allclose(found[name], expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize("level", [1, 3])
def test_the_mask_is_that_of_a_hundred_exponential_steps(scope, level):
    lineage = lineage_of(fraction=0.4, scope=scope)
    weights = weights_of(lineage)
    groups = [
        ([tensor.name for tensor in group], kept)
        for group, kept in targets(lineage.tensors(), lineage.prune, "synflow", level)
    ]
    found = find_mask(lineage, level, rewind=weights, dense_final=None, data=tiny_data())
    expected = iterate(weights, full_mask(lineage.tensors()), groups)
    assert list(found) == list(expected)
    assert all(np.array_equal(found[name], expected[name]) for name in expected)


def test_signs_of_weights_do_not_matter_and_are_left_alone():
    lineage = lineage_of()
    weights = weights_of(lineage)
    before = {name: values.copy() for name, values in weights.items()}
    flipped = {name: -values for name, values in weights.items()}
    one, two = (find_mask(lineage, 2, rewind=each, dense_final=None, data=tiny_data()) for each in (weights, flipped))
    assert all(np.array_equal(one[name], two[name]) for name in one)
    assert all(np.array_equal(weights[name], before[name]) for name in weights)


def test_running_statistics_enter_in_evaluation_mode():
    lineage = tiny_lineage(model=ModelSpec(name="resnet_20", width=2), shape=(3, 8, 8))
    weights = weights_of(lineage)
    for name in weights:
        if "running" in name:
            weights[name] = np.full_like(weights[name], 1.0 if name.endswith("var") else 0.0)
    wider = {n: values * 4 if n == "bn1.running_var" else values for n, values in weights.items()}
    mask = full_mask(lineage.tensors())
    one, two = (synaptic_flow(lineage, each, mask, CPU) for each in (weights, wider))
    assert any(name.endswith("running_var") for name in weights)
    assert any(not np.array_equal(one[name], two[name]) for name in one)


def test_a_flow_beyond_all_numbers_is_refused():
    lineage = lineage_of()
    weights = weights_of(lineage)
    weights["fc1.weight"][0, 0] = np.inf
    with pytest.raises(UserError, match="not finite"):
        synaptic_flow(lineage, weights, full_mask(lineage.tensors()), CPU)
