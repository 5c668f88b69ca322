"""Whole submissions by name: the demo on digits, and the paper's recipes for its networks."""

from __future__ import annotations

from collections.abc import Callable

from lth_core.model_spec import ModelSpec
from lth_core.parts import DatasetSpec, Prune, Rule, Train
from lth_core.spec import SearchSpec, Submission
from lth_core.treatments import Treatment


def lenet_digits() -> Submission:
    """The demo: LeNet-300-100 on scikit-learn's 1,797 digits, small enough for a laptop's minute.

    The test set has 360 images, so the margin of the verdicts is 1 percentage point.
    """
    spec = SearchSpec(
        model=ModelSpec(name="lenet_300_100"),
        dataset=DatasetSpec(name="digits"),
        train=Train(steps=400, eval_every=20),
        prune=Prune(levels=8),
        replicates=(0, 1, 2),
        treatments=(Treatment(name="random_reinit"), Treatment(name="shuffled_mask")),
        rule=Rule(margin=0.01),
    )
    return Submission(name="lenet-digits", spec=spec)


def lenet_mnist() -> Submission:
    """LeNet-300-100 on MNIST as in Frankle & Carbin 2019, figure 2 and section 2."""
    spec = SearchSpec(
        model=ModelSpec(name="lenet_300_100"),
        dataset=DatasetSpec(name="mnist"),
        train=Train(optimizer="adam", lr=0.0012, batch_size=60, steps=50_000, eval_every=100),
        prune=Prune(fraction=0.2, output_fraction=0.1, levels=20),
        replicates=(0, 1, 2, 3, 4),
    )
    return Submission(name="lenet-mnist", spec=spec)


def conv2_cifar10() -> Submission:
    """Conv-2 on CIFAR-10 as in Frankle & Carbin 2019, figure 2 and section 3."""
    return _conv("conv_2", lr=0.0002, steps=20_000, conv_fraction=0.1)


def conv4_cifar10() -> Submission:
    """Conv-4 on CIFAR-10 as in Frankle & Carbin 2019, figure 2 and section 3."""
    return _conv("conv_4", lr=0.0003, steps=25_000, conv_fraction=0.1)


def conv6_cifar10() -> Submission:
    """Conv-6 on CIFAR-10 as in Frankle & Carbin 2019, figure 2 and section 3."""
    return _conv("conv_6", lr=0.0003, steps=30_000, conv_fraction=0.15)


def _conv(model: str, *, lr: float, steps: int, conv_fraction: float) -> Submission:
    spec = SearchSpec(
        model=ModelSpec.model_validate({"name": model}),
        dataset=DatasetSpec(name="cifar10"),
        train=Train(optimizer="adam", lr=lr, batch_size=60, steps=steps, eval_every=100),
        prune=Prune(fraction=0.2, conv_fraction=conv_fraction, output_fraction=0.1, levels=20),
        replicates=(0, 1, 2, 3, 4),
    )
    return Submission(name=f"{model.replace('_', '')}-cifar10", spec=spec)


PRESETS: dict[str, Callable[[], Submission]] = {
    "lenet-digits": lenet_digits,
    "lenet-mnist": lenet_mnist,
    "conv2-cifar10": conv2_cifar10,
    "conv4-cifar10": conv4_cifar10,
    "conv6-cifar10": conv6_cifar10,
}
