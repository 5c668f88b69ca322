"""torchvision's models without torch's generator: dropout and depth by counters, pooling by matrices."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from lth_core.architecture import architecture
from lth_core.dropout import CounterDropout
from lth_core.model_spec import ModelSpec
from lth_core.networks.build import build_network
from lth_core.networks.materials import WithoutValues
from lth_core.networks.torchvision_models import CounterDepth, MeanPool, build_torchvision

SHAPE = (3, 32, 32)


@pytest.mark.parametrize("arch", ["shufflenet_v2_x0_5", "squeezenet1_1"])
def test_the_state_dict_is_the_architecture(arch: str) -> None:
    model = ModelSpec(name="torchvision", arch=arch)
    before = torch.random.get_rng_state()
    state = build_network(model, SHAPE, 7).state_dict()
    assert torch.equal(torch.random.get_rng_state(), before)
    found = [(n, tuple(t.shape)) for n, t in state.items() if not n.endswith("num_batches_tracked")]
    assert found == [(t.name, t.shape) for t in architecture(model, SHAPE, 7)]


def test_tables_that_a_layer_computes_keep_their_values_and_are_constants() -> None:
    from torchvision.models.swin_transformer import ShiftedWindowAttention

    with WithoutValues():
        light = ShiftedWindowAttention(8, [2, 2], [0, 0], 2)
    assert light.qkv.weight.is_meta
    assert torch.equal(
        light.relative_position_index, ShiftedWindowAttention(8, [2, 2], [0, 0], 2).relative_position_index
    )


def test_no_layer_of_a_model_draws_from_torchs_generator() -> None:
    with WithoutValues():
        networks = [build_torchvision(arch, SHAPE, 10, 5) for arch in ("googlenet", "efficientnet_b0")]
    drops = [[m for m in network.modules() if isinstance(m, CounterDropout)] for network in networks]
    for network in networks:
        names = {type(m).__name__ for m in network.modules() if not type(m).__module__.startswith("lth_core")}
        assert not {name for name in names if "Dropout" in name or "StochasticDepth" in name}
    assert [drop.p for drop in drops[0]] == [0.2]
    assert len({drop.layer for drop in drops[1]}) == len(drops[1]) > 5
    assert all(drop.key == 5 for drop in drops[1])


def test_a_network_that_is_only_evaluated_has_no_dropout() -> None:
    network = build_network(ModelSpec(name="torchvision", arch="squeezenet1_1"), SHAPE, 10)
    assert not any(isinstance(m, CounterDropout | nn.Dropout) for m in network.modules())


def test_stochastic_depth_drops_whole_examples_by_their_place_and_the_step() -> None:
    depth = CounterDepth(0.5, 11, 3, whole_batch=False)
    x = torch.ones(64, 2, 3, 3)
    first, again = depth(x), depth(x)
    depth.draw.step = 1
    later = depth(x)
    per_example = first.flatten(1)
    assert torch.equal(first, again)
    assert not torch.equal(first, later)
    assert set(per_example.unique().tolist()) == {0.0, 2.0}
    assert torch.equal(per_example.min(1).values, per_example.max(1).values)
    assert torch.equal(depth.eval()(x), x)
    together = CounterDepth(0.5, 11, 3, whole_batch=True)(x)
    assert len(together.unique()) == 1


@pytest.mark.parametrize("size", [(13, 13), (6, 7), (1, 1), (2, 5)])
@pytest.mark.parametrize("sides", [(6, 6), (7, 7), (1, 1)])
def test_pooling_by_matrices_is_adaptive_average_pooling(size: tuple[int, int], sides: tuple[int, int]) -> None:
    x = torch.from_numpy(np.random.default_rng(1).normal(size=(2, 3, *size)).astype(np.float32))
    assert torch.allclose(MeanPool(sides)(x), nn.AdaptiveAvgPool2d(sides)(x), atol=1e-6)


def test_a_model_that_is_not_there_is_named() -> None:
    with pytest.raises(ValueError, match="no classification model 'resnet19'"):
        build_torchvision("resnet19", SHAPE, 10, None)
