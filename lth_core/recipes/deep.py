"""ResNet-20 and VGG-19 on CIFAR-10: the paper's recipes at three learning rates, and its appendix on them.

These networks are compared by accuracy at fixed steps, so the test curve is taken, every 1,000 steps. Global pruning
ranks the 3x3 convolutions as one pool; shortcuts and the output layer stay whole but count in densities.
"""

from __future__ import annotations

from typing import Any, Literal

from lth_core.spec import SearchSpec, Submission

DeepName = Literal["resnet_20", "vgg_16", "vgg_19"]

SHORTCUTS = ["layer2.0.downsample.0", "layer3.0.downsample.0"]
"""The 1x1 convolutions beside the blocks of ResNet-20."""
RESNET_TRAIN = {"lr": 0.1, "batch_size": 128, "steps": 30_000, "milestones": [20_000, 25_000]}
VGG_TRAIN = {"lr": 0.1, "batch_size": 64, "steps": 112_480, "milestones": [56_240, 84_360]}
SGD_TRAIN = {
    "optimizer": "sgd",
    "momentum": 0.9,
    "weight_decay": 0.0001,
    "flip": True,
    "crop_padding": 4,
    "eval_every": 1000,
    "test_curve": True,
}
GLOBAL_PRUNE = {"scope": "global", "fraction": 0.2, "output_fraction": 0.0, "levels": 20}


def resnet20_cifar10_warmup() -> Submission:
    """ResNet-20 on CIFAR-10 at learning rate .03 with 20,000 steps of warm-up: Frankle & Carbin 2019, figure 2."""
    return deep("resnet_20", "warmup", train={"lr": 0.03, "warmup_steps": 20_000}, replicates=5)


def resnet20_cifar10_low() -> Submission:
    """ResNet-20 on CIFAR-10 at learning rate .01: Frankle & Carbin 2019, figures 2 and 8."""
    return deep("resnet_20", "low", train={"lr": 0.01}, replicates=5)


def resnet20_cifar10_high() -> Submission:
    """ResNet-20 on CIFAR-10 at learning rate .1, where no winning ticket is found: Frankle & Carbin 2019, figure 8."""
    return deep("resnet_20", "high", replicates=5)


def vgg19_cifar10_warmup() -> Submission:
    """VGG-19 on CIFAR-10 at learning rate .1 with 10,000 steps of warm-up: Frankle & Carbin 2019, figures 2 and 7."""
    return deep("vgg_19", "warmup", train={"warmup_steps": 10_000}, replicates=5)


def vgg19_cifar10_low() -> Submission:
    """VGG-19 on CIFAR-10 at learning rate .01: Frankle & Carbin 2019, figures 2 and 7."""
    return deep("vgg_19", "low", train={"lr": 0.01}, replicates=5)


def vgg19_cifar10_high() -> Submission:
    """VGG-19 on CIFAR-10 at learning rate .1, where no winning ticket is found: Frankle & Carbin 2019, figure 7."""
    return deep("vgg_19", "high", replicates=5)


def resnet20_cifar10_layerwise() -> Submission:
    """ResNet-20 pruned layer by layer instead of globally: Frankle & Carbin 2019, appendix I."""
    return deep("resnet_20", "layerwise", train={"lr": 0.03, "warmup_steps": 20_000}, prune={"scope": "layer"})


def vgg19_cifar10_layerwise() -> Submission:
    """VGG-19 pruned layer by layer instead of globally: Frankle & Carbin 2019, appendix I."""
    return deep("vgg_19", "layerwise", train={"warmup_steps": 10_000}, prune={"scope": "layer"})


def resnet20_cifar10_warmup_lengths() -> Submission:
    """ResNet-20 at learning rate .03 with warm-up of four lengths: Frankle & Carbin 2019, appendix I.5."""
    lengths = {"grid": [5_000, 10_000, 15_000, 20_000]}
    return deep("resnet_20", "warmup-lengths", train={"lr": 0.03, "warmup_steps": lengths})


def deep(
    model: DeepName,
    variant: str,
    *,
    train: dict[str, Any] | None = None,
    prune: dict[str, Any] | None = None,
    replicates: int = 3,
    **changes: Any,
) -> Submission:
    """Return the recipe of a deep network at learning rate .1 with fields changed.

    Args:
        model: VGG-16 takes the recipe of VGG-19.
        variant: End of the submission's name.
        train: JSON of the fields of `train` that differ.
        prune: JSON of the fields of `prune` that differ.
        replicates: How many.
        changes: JSON of further parts of the specification.
    """
    recipe = RESNET_TRAIN if model == "resnet_20" else VGG_TRAIN
    whole = {"exclude": SHORTCUTS} if model == "resnet_20" else {}
    body = {
        "model": {"name": model},
        "dataset": {"name": "cifar10"},
        "train": {**SGD_TRAIN, **recipe, **(train or {})},
        "prune": {**GLOBAL_PRUNE, **whole, **(prune or {})},
        "replicates": replicates,
        **changes,
    }
    name = f"{model.replace('_', '')}-cifar10-{variant}"
    return Submission(name=name, spec=SearchSpec.model_validate(body))
