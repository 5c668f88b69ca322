"""Pruning before training, on ResNet-20 and VGG-16 at several densities, with the controls of the literature.

One pool of all weights, shortcuts and output layer too, unlike the recipes of iterative pruning.
"""

from __future__ import annotations

from typing import Any

from lth_core.recipes.deep import DeepName, deep
from lth_core.spec import Submission

DENSITIES = [0.5, 0.2, 0.1, 0.05, 0.02]
CONTROLS = ["random_reinit", "shuffled_mask", "invert_scores"]


def resnet20_cifar10_snip() -> Submission:
    """SNIP on ResNet-20 at five densities: Lee et al. 2019, arXiv:1810.02340."""
    return _at_init("resnet_20", "snip")


def resnet20_cifar10_grasp() -> Submission:
    """GraSP on ResNet-20 at five densities: Wang et al. 2020, arXiv:2002.07376."""
    return _at_init("resnet_20", "grasp")


def resnet20_cifar10_synflow() -> Submission:
    """SynFlow on ResNet-20 at five densities: Tanaka et al. 2020, arXiv:2006.05467."""
    return _at_init("resnet_20", "synflow")


def resnet20_cifar10_magnitude_at_init() -> Submission:
    """Magnitude pruning of ResNet-20 before training at five densities: Frankle et al. 2021, arXiv:2009.08576."""
    return _at_init("resnet_20", "magnitude_at_init")


def resnet20_cifar10_random_erk() -> Submission:
    """Random masks for ResNet-20 with Erdos-Renyi-kernel densities: Evci et al. 2020, arXiv:1911.11134."""
    prune = {"layer_densities": "erk", "scope": "layer", "output_fraction": None}
    return _at_init("resnet_20", "random_at_init", "random-erk", controls=["random_reinit"], **prune)


def vgg16_cifar10_snip() -> Submission:
    """SNIP on VGG-16 at five densities: Lee et al. 2019, arXiv:1810.02340."""
    return _at_init("vgg_16", "snip")


def vgg16_cifar10_grasp() -> Submission:
    """GraSP on VGG-16 at five densities: Wang et al. 2020, arXiv:2002.07376."""
    return _at_init("vgg_16", "grasp")


def vgg16_cifar10_synflow() -> Submission:
    """SynFlow on VGG-16 at five densities: Tanaka et al. 2020, arXiv:2006.05467."""
    return _at_init("vgg_16", "synflow")


def _at_init(
    model: DeepName, method: str, variant: str | None = None, *, controls: list[str] | None = None, **prune: Any
) -> Submission:
    whole_pool = {"densities": DENSITIES, "exclude": [], "output_fraction": None, "levels": len(DENSITIES), **prune}
    name = variant or method.replace("_", "-")
    return deep(model, name, method=method, prune=whole_pool, treatments=controls or CONTROLS)
