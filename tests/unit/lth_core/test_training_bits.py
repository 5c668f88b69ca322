"""A training without options keeps the bits it had before there were options, on the machines that gave them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lth_core import random
from lth_core.data import TensorData, load
from lth_core.determinism import pin
from lth_core.engines.base import Plan, Trained
from lth_core.expansion import DatasetInfo, LineageSpec
from lth_core.initialisation import glorot_normal
from lth_core.model_spec import ModelSpec
from lth_core.parts import Prune, Rewind, Train
from lth_core.pulse import Pulse
from lth_core.training import train
from lth_core.weights import Array, content_digest

MADE_WITH = ("2.15.0+cu132", "AVX2", "AuthenticAMD")
"""Torch, its instruction set and the processor's maker: elsewhere last bits may differ."""

GOLDEN = {
    "lenet_300_100": (
        (1, 8, 8),
        1437,
        {"steps": 60, "eval_every": 20},
        "d14445c224cb77bede71b2ac71617a92f2517f2077aef170978f6f0ac9d3776e",
        "6e2fdf2789bd175d643d901b4e4741338f80d73004de93af6ee4a3c456b4baed",
    ),
    "conv_2": (
        (3, 8, 8),
        300,
        {
            "optimizer": "sgd",
            "lr": 0.01,
            "momentum": 0.9,
            "weight_decay": 1e-4,
            "steps": 30,
            "eval_every": 10,
            "batch_size": 20,
            "milestones": (15,),
            "warmup_steps": 5,
        },
        "76aba387c1e7e939049e2c513498f39ad7e665098c0b6aa39df19ddb04475a22",
        "5b7e2859e03279a42febf76ed7b5005dabd0c68b05ef94ca1668b9e79b5e571a",
    ),
}


def made_arrays(num_train: int, num_test: int, shape: tuple[int, ...]) -> dict[str, Array]:
    """Noisy copies of one prototype image per class, ten classes."""
    generator = np.random.default_rng(11)
    prototypes = generator.integers(0, 200, size=(10, *shape))
    arrays: dict[str, Array] = {}
    for part, num in (("train", num_train), ("test", num_test)):
        labels = np.arange(num, dtype=np.int64) % 10
        noise = generator.integers(-90, 90, size=(num, *shape))
        arrays[f"{part}_images"] = np.clip(prototypes[labels] + noise, 0, 255).astype(np.uint8)
        arrays[f"{part}_labels"] = labels
    return arrays


def golden_training(model: str, shape: tuple[int, ...], num_train: int, recipe: dict[str, Any]) -> Trained:
    """Train a level under a random mask of half the weights."""
    arrays = made_arrays(num_train, num_train // 4, shape)
    digest = content_digest(arrays)
    sizes = {"shape": shape, "num_classes": 10, "num_train": num_train, "num_test": num_train // 4}
    data: TensorData = load(DatasetInfo(name="made", digest=digest, **sizes), arrays)
    lineage = LineageSpec(
        model=ModelSpec(name=model),
        dataset_name="made",
        dataset_digest=digest,
        in_shape=shape,
        num_classes=10,
        train=Train(**recipe),
        prune=Prune(),
        rewind=Rewind(),
        replicate=3,
    )
    start = glorot_normal(lineage.tensors(), random.seed_key(3, "init"))
    mask = {
        tensor.name: random.words(5, tensor.size, tensor=i)[:, 0].reshape(tensor.shape) % 2 == 0
        for i, tensor in enumerate(lineage.tensors())
        if tensor.prunable
    }
    pin(1)
    return train(Plan(lineage, start, mask), data, Pulse())


def maker() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    return next((line.split(": ")[1] for line in lines if line.startswith("vendor_id")), "unknown")


@pytest.mark.parametrize("model", GOLDEN)
def test_weights_and_curves_keep_the_bits_they_had(model):
    here = (str(torch.__version__), torch.backends.cpu.get_cpu_capability(), maker())
    if here != MADE_WITH:
        pytest.skip(f"the digests were made with {MADE_WITH}, this is {here}")
    shape, num_train, recipe, final, curves = GOLDEN[model]
    result = golden_training(model, shape, num_train, recipe)
    assert content_digest(result.final) == final
    assert hashlib.sha256(result.curves.to_jsonl()).hexdigest() == curves
