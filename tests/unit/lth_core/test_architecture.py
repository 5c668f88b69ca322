"""The networks' tensors against the paper's weight counts, without torch."""

from __future__ import annotations

import pytest

from lth_core.architecture import architecture, prunable
from lth_core.model_spec import ModelSpec


@pytest.mark.parametrize(
    ("model", "shape", "weights", "conv_weights"),
    [
        ("lenet_300_100", (1, 28, 28), 266_200, 0),
        ("conv_2", (3, 32, 32), 4_300_992, 38_592),
        ("conv_4", (3, 32, 32), 2_425_024, 259_776),
        ("conv_6", (3, 32, 32), 2_261_184, 1_144_512),
    ],
)
def test_weight_counts_are_the_papers(model: str, shape: tuple[int, ...], weights: int, conv_weights: int) -> None:
    tensors = prunable(architecture(ModelSpec.model_validate({"name": model}), shape, 10))
    assert sum(t.size for t in tensors) == weights
    assert sum(t.size for t in tensors if t.kind == "conv") == conv_weights
    assert [t.kind for t in tensors].count("output") == 1


def test_tensors_come_in_state_dict_order_with_their_fans() -> None:
    tensors = architecture(ModelSpec(name="conv_2"), (3, 32, 32), 10)
    assert [t.name for t in tensors][:4] == ["conv1.weight", "conv1.bias", "conv2.weight", "conv2.bias"]
    assert (tensors[0].fan_in, tensors[0].fan_out) == (27, 576)
    assert tensors[4].shape == (256, 16_384)
    assert not tensors[1].prunable


def test_an_image_too_small_for_its_poolings_is_refused() -> None:
    with pytest.raises(ValueError, match="too small for 3 poolings"):
        architecture(ModelSpec(name="conv_6"), (1, 4, 4), 10)
    with pytest.raises(ValueError, match="needs examples of shape"):
        architecture(ModelSpec(name="conv_2"), (64,), 10)
