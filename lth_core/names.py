"""The names a specification may use: of networks, methods, criteria, counting rules, treatments and kinds."""

from __future__ import annotations

from typing import Literal

ModelName = Literal[
    "lenet_300_100",
    "mlp",
    "conv_2",
    "conv_4",
    "conv_6",
    "resnet_20",
    "resnet_32",
    "resnet_44",
    "resnet_56",
    "resnet_110",
    "vgg_11",
    "vgg_13",
    "vgg_16",
    "vgg_19",
    "resnet_18",
    "resnet_50",
    "torchvision",
]
MethodName = Literal[
    "imp", "one_shot", "gradual", "magnitude_at_init", "random_at_init", "snip", "grasp", "synflow", "transfer"
]
AT_INIT: frozenset[str] = frozenset({"magnitude_at_init", "random_at_init", "snip", "grasp", "synflow"})
"""Methods that choose masks from the rewind weights alone, before any training under a mask."""
Criterion = Literal[
    "magnitude",
    "small_final",
    "large_init",
    "small_init",
    "large_init_large_final",
    "small_init_small_final",
    "magnitude_increase",
    "movement",
    "large_final_same_sign",
    "large_final_diff_sign",
    "magnitude_increase_same_sign",
    "magnitude_increase_diff_sign",
    "random",
]
CountRule = Literal[
    "round", "round_plus_1", "floor", "floor_plus_1", "ceil", "ceil_plus_1", "percentile", "percentile_plus_1"
]
TreatmentName = Literal[
    "random_reinit",
    "random_mask",
    "shuffled_mask",
    "random_sparse",
    "reuse",
    "reuse_sign",
    "signed_constant",
    "noise",
    "invert_scores",
    "magnitude_at_init",
    "frozen",
    "reset",
    "reordered",
    "identity",
]
FROM_LEVEL_0: frozenset[str] = frozenset({"reordered"})
"""Treatments that are also trained at level 0, under the mask of ones."""
Kind = Literal["conv", "fc", "output"]

NormalisationKind = Literal["standard", "unit_range", "unit_norm"]
"""`standard`: each channel less its mean, over its standard deviation. `unit_range`: every byte over 255. `unit_norm`:
every image over its Euclidean norm, as the released code of Frankle & Carbin 2019 does it for MNIST."""
EngineWish = Literal["auto", "reference", "pack"]
"""Who trains: the fastest engine for network and device, plain autograd, or lockstep packs."""
