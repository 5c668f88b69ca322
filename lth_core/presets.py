"""Whole submissions by name: the demo on digits, and the recipes of the literature."""

from __future__ import annotations

from collections.abc import Callable

from lth_core.recipes import at_init, conv, deep, lenet, lenet_sweeps, rewinding
from lth_core.spec import Submission

RECIPES: tuple[Callable[[], Submission], ...] = (
    lenet.lenet_digits,
    lenet.lenet_mnist,
    conv.conv2_cifar10,
    conv.conv4_cifar10,
    conv.conv6_cifar10,
    deep.resnet20_cifar10_warmup,
    deep.resnet20_cifar10_low,
    deep.resnet20_cifar10_high,
    deep.vgg19_cifar10_warmup,
    deep.vgg19_cifar10_low,
    deep.vgg19_cifar10_high,
    conv.conv2_cifar10_dropout,
    conv.conv4_cifar10_dropout,
    conv.conv6_cifar10_dropout,
    lenet_sweeps.lenet_mnist_one_shot,
    lenet_sweeps.lenet_mnist_continued,
    lenet_sweeps.lenet_mnist_random_sparse,
    lenet_sweeps.lenet_mnist_reuse,
    lenet_sweeps.lenet_mnist_magnitude_at_init,
    lenet_sweeps.lenet_mnist_noise,
    lenet_sweeps.lenet_mnist_adam_rates,
    lenet_sweeps.lenet_mnist_sgd_rates,
    lenet_sweeps.lenet_mnist_fraction_10,
    lenet_sweeps.lenet_mnist_fraction_20,
    lenet_sweeps.lenet_mnist_fraction_40,
    lenet_sweeps.lenet_mnist_fraction_60,
    lenet_sweeps.lenet_mnist_hidden_50_17,
    lenet_sweeps.lenet_mnist_hidden_100_34,
    lenet_sweeps.lenet_mnist_hidden_200_67,
    lenet_sweeps.lenet_mnist_hidden_500_167,
    lenet_sweeps.lenet_mnist_hidden_900_300,
    conv.conv2_cifar10_conv_only,
    conv.conv4_cifar10_conv_only,
    conv.conv6_cifar10_conv_only,
    conv.conv2_cifar10_fc_only,
    conv.conv4_cifar10_fc_only,
    conv.conv6_cifar10_fc_only,
    deep.resnet20_cifar10_layerwise,
    deep.vgg19_cifar10_layerwise,
    deep.resnet20_cifar10_warmup_lengths,
    rewinding.resnet20_cifar10_rewind,
    rewinding.vgg16_cifar10_rewind,
    rewinding.resnet20_cifar10_lr_rewind,
    rewinding.vgg16_cifar10_lr_rewind,
    rewinding.resnet20_cifar10_fine_tune,
    rewinding.vgg16_cifar10_fine_tune,
    rewinding.resnet20_cifar10_gradual,
    at_init.resnet20_cifar10_snip,
    at_init.resnet20_cifar10_grasp,
    at_init.resnet20_cifar10_synflow,
    at_init.resnet20_cifar10_magnitude_at_init,
    at_init.resnet20_cifar10_random_erk,
    at_init.vgg16_cifar10_snip,
    at_init.vgg16_cifar10_grasp,
    at_init.vgg16_cifar10_synflow,
)

PRESETS: dict[str, Callable[[], Submission]] = {recipe.__name__.replace("_", "-"): recipe for recipe in RECIPES}
"""Every recipe by its name, which is the submission's too."""
