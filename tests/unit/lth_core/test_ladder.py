"""The density ladder of the paper's six networks, level by level, without training anything."""

from __future__ import annotations

import pytest

from lth_core.architecture import architecture, prunable
from lth_core.presets import PRESETS
from lth_core.pruning import density_ladder

MNIST = (1, 28, 28)
CIFAR = (3, 32, 32)

# Weights by the share of the survivors removed per level, counted by hand from the paper's figure 2; 0 = never pruned.
WEIGHTS = {
    "lenet-mnist": {0.2: 235_200 + 30_000, 0.1: 1_000},
    "conv2-cifar10": {0.1: 38_592 + 2_560, 0.2: 16_384 * 256 + 65_536},
    "conv4-cifar10": {0.1: 259_776 + 2_560, 0.2: 8_192 * 256 + 65_536},
    "conv6-cifar10": {0.15: 1_144_512, 0.1: 2_560, 0.2: 4_096 * 256 + 65_536},
    "resnet20-cifar10-warmup": {0.2: 267_696, 0.0: 2_560 + 640},
    "vgg19-cifar10-warmup": {0.2: 20_018_880, 0.0: 5_120},
}
# Printed to four decimals, levels 0 to 19.
LADDER = {
    "lenet-mnist": "1.0000 .8004 .6406 .5128 .4105 .3287 .2632 .2107 .1688 .1352"
    " .1083 .0868 .0695 .0557 .0447 .0358 .0287 .0231 .0185 .0149",
    "conv2-cifar10": "1.0000 .8010 .6416 .5141 .4120 .3302 .2647 .2123 .1703 .1366"
    " .1097 .0881 .0708 .0569 .0457 .0368 .0297 .0239 .0193 .0156",
    "conv4-cifar10": "1.0000 .8108 .6584 .5355 .4363 .3561 .2913 .2388 .1962 .1616"
    " .1335 .1106 .0918 .0765 .0640 .0537 .0451 .0381 .0323 .0275",
    "conv6-cifar10": "1.0000 .8254 .6820 .5639 .4668 .3867 .3207 .2661 .2211 .1838"
    " .1529 .1274 .1062 .0886 .0739 .0618 .0517 .0432 .0362 .0303",
    "resnet20-cifar10-warmup": "1.0000 .8024 .6443 .5178 .4166 .3356 .2709 .2191 .1776 .1444"
    " .1179 .0967 .0797 .0661 .0553 .0466 .0396 .0341 .0296 .0261",
    "vgg19-cifar10-warmup": "1.0000 .8001 .6401 .5121 .4098 .3279 .2623 .2099 .1680 .1344"
    " .1076 .0861 .0690 .0552 .0442 .0354 .0284 .0228 .0183 .0147",
}
KEPT = {  # at levels 1 and 10
    "conv2-cifar10": (3_444_909, 471_746),
    "conv4-cifar10": (1_966_253, 323_687),
    "conv6-cifar10": (1_866_429, 345_845),
    "resnet20-cifar10-warmup": (217_357, 31_944),
    "vgg19-cifar10-warmup": (16_020_224, 2_154_630),
}
LENET_KEPT = (
    "266200 213060 170538 136511 109282 87490 70051 56094 44923 35981 28823 23093 18506 14834 11893 9537"
    " 7650 6139 4928 3958 3179"
)


def ladder_of(name: str) -> tuple[int, ...]:
    spec = PRESETS[name]().spec
    tensors = architecture(spec.model, MNIST if spec.dataset.name == "mnist" else CIFAR, 10)
    return density_ladder(tensors, spec.prune, spec.prune.levels + 1)


@pytest.mark.parametrize("name", WEIGHTS)
def test_every_density_is_the_one_the_fractions_give(name: str) -> None:
    sizes, kept = WEIGHTS[name], ladder_of(name)
    total = sum(sizes.values())
    assert kept[0] == total
    for level, count in enumerate(kept):
        density = sum(size * (1 - fraction) ** level for fraction, size in sizes.items()) / total
        assert abs(count / total - density) < 1e-5


@pytest.mark.parametrize("name", LADDER)
def test_every_density_is_the_printed_one(name: str) -> None:
    kept = ladder_of(name)
    printed = [float(density) for density in LADDER[name].split()]
    assert len(printed) == 20
    for count, density in zip(kept, printed, strict=False):
        assert abs(count / kept[0] - density) <= 0.0001


@pytest.mark.parametrize("name", KEPT)
def test_kept_counts_are_golden(name: str) -> None:
    kept = ladder_of(name)
    assert (kept[1], kept[10]) == KEPT[name]


def test_lenets_kept_counts_are_golden_at_every_level() -> None:
    assert list(ladder_of("lenet-mnist")) == [int(count) for count in LENET_KEPT.split()]


@pytest.mark.parametrize(("level", "label"), [(7, 0.264), (10, 0.151), (12, 0.105)])
def test_the_printed_labels_of_conv_6_hold_within_three_per_mille(level: int, label: float) -> None:
    kept = ladder_of("conv6-cifar10")
    assert abs(kept[level] / kept[0] - label) < 0.003


def test_the_shortcuts_and_the_output_of_resnet_20_count_and_are_never_pruned() -> None:
    spec = PRESETS["resnet20-cifar10-warmup"]().spec
    whole = [t for t in prunable(architecture(spec.model, CIFAR, 10)) if "downsample" in t.name or t.kind == "output"]
    assert sum(t.size for t in whole) == 3_200
    assert set(spec.prune.exclude) == {t.name.removesuffix(".weight") for t in whole if t.kind == "conv"}
    assert spec.prune.fraction_of_kind("output") == 0
