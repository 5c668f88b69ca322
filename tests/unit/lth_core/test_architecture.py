"""The networks' tensors against the paper's weight counts, without torch."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from lth_core.architecture import TensorSpec, architecture, prunable
from lth_core.architectures.torchvision_table import table
from lth_core.model_spec import ModelSpec

CIFAR = (3, 32, 32)
IMAGENET = (3, 224, 224)


def tensors_of(shape: tuple[int, ...] = CIFAR, num_classes: int = 10, **fields: Any) -> tuple[TensorSpec, ...]:
    return architecture(ModelSpec.model_validate(fields), shape, num_classes)


def num_parameters(tensors: tuple[TensorSpec, ...]) -> int:
    return sum(tensor.size for tensor in tensors if tensor.is_parameter)


@pytest.mark.parametrize(
    ("model", "shape", "weights", "conv_weights"),
    [
        ("lenet_300_100", (1, 28, 28), 266_200, 0),
        ("conv_2", CIFAR, 4_300_992, 38_592),
        ("conv_4", CIFAR, 2_425_024, 259_776),
        ("conv_6", CIFAR, 2_261_184, 1_144_512),
        ("resnet_20", CIFAR, 270_896, 267_696 + 2_560),
        ("vgg_19", CIFAR, 20_024_000, 20_018_880),
    ],
)
def test_weight_counts_are_the_papers(model: str, shape: tuple[int, ...], weights: int, conv_weights: int) -> None:
    tensors = prunable(tensors_of(shape, name=model))
    assert sum(t.size for t in tensors) == weights
    assert sum(t.size for t in tensors if t.kind == "conv") == conv_weights
    assert [t.kind for t in tensors].count("output") == 1


@pytest.mark.parametrize(
    ("fields", "shape", "num_classes", "parameters"),
    [
        ({"name": "resnet_20"}, CIFAR, 10, 272_474),
        ({"name": "resnet_110"}, CIFAR, 10, 1_730_714),
        ({"name": "vgg_16"}, CIFAR, 10, 14_728_266),
        ({"name": "resnet_18", "stem": "imagenet"}, IMAGENET, 1000, 11_689_512),
        ({"name": "resnet_50", "stem": "imagenet"}, IMAGENET, 1000, 25_557_032),
        ({"name": "resnet_18"}, CIFAR, 10, 11_173_962),
        ({"name": "torchvision", "arch": "resnet18"}, IMAGENET, 1000, 11_689_512),
        ({"name": "torchvision", "arch": "mobilenet_v2"}, IMAGENET, 1000, 3_504_872),
        ({"name": "torchvision", "arch": "densenet121"}, IMAGENET, 1000, 7_978_856),
        ({"name": "torchvision", "arch": "vit_b_16"}, IMAGENET, 1000, 86_567_656),
        ({"name": "torchvision", "arch": "swin_t"}, IMAGENET, 1000, 28_288_354),
        ({"name": "torchvision", "arch": "convnext_tiny"}, IMAGENET, 1000, 28_589_128),
        ({"name": "torchvision", "arch": "maxvit_t"}, IMAGENET, 1000, 30_919_624),
        ({"name": "torchvision", "arch": "regnet_y_128gf"}, IMAGENET, 1000, 644_812_894),
    ],
)
def test_parameter_counts_are_the_published_ones(
    fields: dict[str, Any], shape: tuple[int, ...], num_classes: int, parameters: int
) -> None:
    assert num_parameters(tensors_of(shape, num_classes, **fields)) == parameters


def test_the_layers_of_resnet_20_are_the_papers() -> None:
    shapes = Counter(t.shape for t in prunable(tensors_of(name="resnet_20")))
    assert shapes == {
        (16, 3, 3, 3): 1,
        (16, 16, 3, 3): 6,
        (32, 16, 3, 3): 1,
        (32, 32, 3, 3): 5,
        (64, 32, 3, 3): 1,
        (64, 64, 3, 3): 5,
        (32, 16, 1, 1): 1,
        (64, 32, 1, 1): 1,
        (10, 64): 1,
    }


@pytest.mark.parametrize("depth", [20, 32, 44, 56, 110])
def test_a_residual_network_of_depth_n_has_n_layers_with_weights_beside_its_shortcuts(depth: int) -> None:
    tensors = prunable(tensors_of(name=f"resnet_{depth}"))
    assert sum("downsample" not in t.name for t in tensors) == depth
    assert sum("downsample" in t.name for t in tensors) == 2


def test_twice_the_width_is_about_four_times_the_weights() -> None:
    wide, plain = (prunable(tensors_of(name=name)) for name in ("resnet_20_32", "resnet_20"))
    ratio = [a.size / b.size for a, b in zip(wide, plain, strict=True)]
    assert ratio == [2] + [4] * (len(ratio) - 2) + [2]


def test_tensors_come_in_state_dict_order_with_their_fans() -> None:
    tensors = tensors_of(name="conv_2")
    assert [t.name for t in tensors][:4] == ["conv1.weight", "conv1.bias", "conv2.weight", "conv2.bias"]
    assert (tensors[0].fan_in, tensors[0].fan_out) == (27, 576)
    assert tensors[4].shape == (256, 16_384)
    assert not tensors[1].prunable


def test_a_normalisation_has_scale_shift_and_running_statistics_none_of_them_prunable() -> None:
    found = [(t.name, t.kind, t.is_parameter, t.prunable) for t in tensors_of(name="vgg_11")[2:6]]
    assert found == [
        ("features.1.weight", "norm", True, False),
        ("features.1.bias", "bias", True, False),
        ("features.1.running_mean", "buffer", False, False),
        ("features.1.running_var", "buffer", False, False),
    ]
    with pytest.raises(ValueError, match=r"features\.1\.running_mean is of kind buffer and is never pruned"):
        _ = tensors_of(name="vgg_11")[4].prune_kind


@pytest.mark.parametrize("arch", ["squeezenet1_0", "vit_b_16", "vgg11_bn"])
def test_the_output_layer_of_a_torchvision_model_has_the_classes_of_the_data(arch: str) -> None:
    output = [t for t in tensors_of(IMAGENET, 7, name="torchvision", arch=arch) if t.kind == "output"]
    assert [t.shape[0] for t in output] == [7]


def test_attention_is_prunable_and_its_tokens_positions_and_norms_are_not() -> None:
    kinds = {t.name: t.kind for t in tensors_of(IMAGENET, name="torchvision", arch="vit_b_16")}
    first = "encoder.layers.encoder_layer_0"
    assert kinds[f"{first}.self_attention.in_proj_weight"] == "fc"
    assert kinds[f"{first}.ln_1.weight"] == "norm"
    assert kinds["class_token"] == kinds["encoder.pos_embedding"] == "other"


def test_a_vision_transformer_has_a_position_for_each_patch_and_one_for_the_class() -> None:
    tensors = tensors_of((3, 64, 64), name="torchvision", arch="vit_b_16")
    assert next(t.shape for t in tensors if t.name == "encoder.pos_embedding") == (1, 17, 768)


def test_the_table_knows_every_classification_model_and_no_tensor_twice() -> None:
    models = table()["models"]
    assert len(models) >= 80
    for arch, entry in models.items():
        names = [name for name, _, _ in entry["tensors"]]
        assert len(set(names)) == len(names), arch
        assert [letter for _, letter, _ in entry["tensors"]].count("o") == 1, arch


@pytest.mark.parametrize(
    ("fields", "shape", "reason"),
    [
        ({"name": "conv_6"}, (1, 4, 4), "4x4 are too small for 3 poolings"),
        ({"name": "vgg_16"}, (3, 8, 8), "8x8 are too small for 4 poolings"),
        ({"name": "conv_2"}, (64,), "needs examples of shape"),
        ({"name": "resnet_20"}, (64,), "needs examples of shape"),
        ({"name": "torchvision", "arch": "resnet19"}, CIFAR, "arch must be one of alexnet.*got 'resnet19'"),
        ({"name": "torchvision", "arch": "resnet18"}, (1, 28, 28), "takes examples of 3 channels, got 1"),
        ({"name": "torchvision", "arch": "alexnet"}, CIFAR, "takes examples of at least 63x63, got 32x32"),
        ({"name": "torchvision", "arch": "vit_b_16"}, (3, 40, 40), "side divisible by 16, got 40x40"),
        ({"name": "torchvision", "arch": "maxvit_t"}, CIFAR, "side divisible by 224, got 32x32"),
    ],
)
def test_data_that_a_network_cannot_take_are_refused(
    fields: dict[str, Any], shape: tuple[int, ...], reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        tensors_of(shape, **fields)
