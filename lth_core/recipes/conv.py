"""Conv-2, Conv-4 and Conv-6 on CIFAR-10: the paper's recipe, with dropout, and pruning one kind of layer only."""

from __future__ import annotations

from typing import Any, Literal

from lth_core.spec import SearchSpec, Submission

ConvName = Literal["conv_2", "conv_4", "conv_6"]

RECIPES: dict[ConvName, tuple[float, int, float]] = {
    "conv_2": (0.0002, 20_000, 0.1),
    "conv_4": (0.0003, 25_000, 0.1),
    "conv_6": (0.0003, 30_000, 0.15),
}
"""Learning rate, steps, and share of the convolutional weights removed per level."""
WITH_DROPOUT: dict[ConvName, tuple[float, int]] = {
    "conv_2": (0.0003, 60_000),
    "conv_4": (0.0002, 75_000),
    "conv_6": (0.0002, 90_000),
}
"""Learning rate and steps with dropout of one half."""


def conv2_cifar10() -> Submission:
    """Conv-2 on CIFAR-10 as in Frankle & Carbin 2019, figure 2 and section 3."""
    return _conv("conv_2")


def conv4_cifar10() -> Submission:
    """Conv-4 on CIFAR-10 as in Frankle & Carbin 2019, figure 2 and section 3."""
    return _conv("conv_4")


def conv6_cifar10() -> Submission:
    """Conv-6 on CIFAR-10 as in Frankle & Carbin 2019, figure 2 and section 3."""
    return _conv("conv_6")


def conv2_cifar10_dropout() -> Submission:
    """Conv-2 on CIFAR-10 with dropout of one half: Frankle & Carbin 2019, section 3 and appendix H.5."""
    return _with_dropout("conv_2")


def conv4_cifar10_dropout() -> Submission:
    """Conv-4 on CIFAR-10 with dropout of one half: Frankle & Carbin 2019, section 3 and appendix H.5."""
    return _with_dropout("conv_4")


def conv6_cifar10_dropout() -> Submission:
    """Conv-6 on CIFAR-10 with dropout of one half: Frankle & Carbin 2019, section 3 and appendix H.5."""
    return _with_dropout("conv_6")


def conv2_cifar10_conv_only() -> Submission:
    """Conv-2, only its convolutions pruned: Frankle & Carbin 2019, appendix H.6."""
    return _conv_only("conv_2")


def conv4_cifar10_conv_only() -> Submission:
    """Conv-4, only its convolutions pruned: Frankle & Carbin 2019, appendix H.6."""
    return _conv_only("conv_4")


def conv6_cifar10_conv_only() -> Submission:
    """Conv-6, only its convolutions pruned: Frankle & Carbin 2019, appendix H.6."""
    return _conv_only("conv_6")


def conv2_cifar10_fc_only() -> Submission:
    """Conv-2, only its fully connected layers pruned: Frankle & Carbin 2019, appendix H.6."""
    return _fc_only("conv_2")


def conv4_cifar10_fc_only() -> Submission:
    """Conv-4, only its fully connected layers pruned: Frankle & Carbin 2019, appendix H.6."""
    return _fc_only("conv_4")


def conv6_cifar10_fc_only() -> Submission:
    """Conv-6, only its fully connected layers pruned: Frankle & Carbin 2019, appendix H.6."""
    return _fc_only("conv_6")


def _conv(
    model: ConvName,
    variant: str = "",
    *,
    model_fields: dict[str, Any] | None = None,
    train: dict[str, Any] | None = None,
    prune: dict[str, Any] | None = None,
    replicates: int = 5,
) -> Submission:
    """The recipe of a network, with fields changed."""
    lr, steps, conv_fraction = RECIPES[model]
    recipe = {"optimizer": "adam", "lr": lr, "batch_size": 60, "steps": steps, "eval_every": 100}
    pruning = {"fraction": 0.2, "conv_fraction": conv_fraction, "output_fraction": 0.1, "levels": 20}
    body = {
        "model": {"name": model, **(model_fields or {})},
        "dataset": {"name": "cifar10"},
        "train": {**recipe, **(train or {})},
        "prune": {**pruning, **(prune or {})},
        "replicates": replicates,
    }
    name = f"{model.replace('_', '')}-cifar10{variant}"
    return Submission(name=name, spec=SearchSpec.model_validate(body))


def _with_dropout(model: ConvName) -> Submission:
    lr, steps = WITH_DROPOUT[model]
    return _conv(model, "-dropout", model_fields={"dropout": 0.5}, train={"lr": lr, "steps": steps}, replicates=3)


def _conv_only(model: ConvName) -> Submission:
    return _conv(model, "-conv-only", prune={"exclude": ["fc1", "fc2"], "output_fraction": 0.0}, replicates=3)


def _fc_only(model: ConvName) -> Submission:
    return _conv(model, "-fc-only", prune={"conv_fraction": 0.0}, replicates=3)
