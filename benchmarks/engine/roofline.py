"""How fast a step could be: its counted operations and bytes against what this device was measured to do."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

FLOAT_BYTES = 4
ADAM_FLOP, SGD_FLOP, MOMENTUM_FLOP = 14, 2, 4
"""Floating-point operations of one weight's update, a square root or a division counted as one."""


@dataclass(frozen=True)
class Count:
    """Operations and bytes of one step of one replicate."""

    flop: float
    bytes: float

    def floor_s(self, peaks: Peaks) -> float:
        """Return the least seconds it can take: the slower of arithmetic and memory."""
        return max(self.flop / peaks.flop_per_s, self.bytes / peaks.bytes_per_s)


@dataclass(frozen=True)
class Peaks:
    """What one core, or one GPU, was measured to do: a large sgemm, and a large copy (bytes read and written)."""

    flop_per_s: float
    bytes_per_s: float


def optimizer_cost(train: Mapping[str, object]) -> tuple[int, int]:
    """Return operations per weight of an update, and how many floats per weight it remembers."""
    if train["optimizer"] == "adam":
        return ADAM_FLOP, 2
    return (MOMENTUM_FLOP, 1) if train["momentum"] else (SGD_FLOP, 0)


def count_step(
    layers: Sequence[tuple[int, int]],
    inputs: int,
    batch_size: int,
    num_biases: int,
    train: Mapping[str, object],
    *,
    num_updated: int | None = None,
) -> Count:
    """Count a step.

    Operations: two per weight use forward, two for the weight's gradient and, but for the first layer, two for the
    gradient of its input; then the update. Bytes: the batch is read once; every weight is read forward and backward;
    weight and moments are read and written by the update; gradients and activations are taken to stay in a cache.

    Args:
        layers: Per prunable tensor its weights that count (all of them, or the survivors), and how often an example
            uses each: 1 in a dense layer, the positions of the output in a convolution.
        inputs: Floats of one example.
        batch_size: Examples of a step.
        num_biases: Parameters beside the weights.
        train: The recipe.
        num_updated: Weights that are updated, if they are fewer than those that count.
    """
    per_update, num_moments = optimizer_cost(train)
    num_weights = sum(weights for weights, _ in layers)
    updated = (num_weights if num_updated is None else num_updated) + num_biases
    flop = 0.0
    for i, (weights, uses) in enumerate(layers):
        flop += 2.0 * batch_size * weights * uses * (3 if i else 2)
    flop += per_update * updated
    moved = batch_size * inputs + num_weights * 2 + updated * 2 * (1 + num_moments)
    return Count(flop, FLOAT_BYTES * float(moved))


def uses_per_example(layers: Sequence[tuple[str, tuple[int, ...], str]], in_shape: tuple[int, ...]) -> dict[str, int]:
    """Return how often an example uses each prunable weight of a plain network, 2x2 pooling after every second one."""
    found: dict[str, int] = {}
    height, width, num_convs = in_shape[-2], in_shape[-1], 0
    for name, _, kind in layers:
        if kind == "conv":
            found[name] = height * width
            num_convs += 1
            if num_convs % 2 == 0:
                height, width = height // 2, width // 2
        elif kind in ("fc", "output"):
            found[name] = 1
    return found


def measure_peaks(device: str, *, size: int = 1536, num_bytes: int = 1 << 28, repeats: int = 5) -> Peaks:
    """Time a large sgemm and a large copy on one thread, or on the GPU, and take the best of some repeats."""
    import torch

    torch.set_num_threads(1)

    def best(work: object) -> float:
        times = []
        for _ in range(repeats):
            if device == "cuda":
                torch.cuda.synchronize()
            begun = time.process_time() if device == "cpu" else time.perf_counter()
            work()  # type: ignore[operator]
            if device == "cuda":
                torch.cuda.synchronize()
            times.append((time.process_time() if device == "cpu" else time.perf_counter()) - begun)
        return min(times)

    a, b = torch.ones(size, size, device=device), torch.ones(size, size, device=device)
    out = torch.empty(size, size, device=device)
    source = torch.zeros(num_bytes // FLOAT_BYTES, device=device)
    target = torch.empty_like(source)
    torch.mm(a, b, out=out)
    target.copy_(source)
    flop_per_s = 2 * size**3 / best(lambda: torch.mm(a, b, out=out))
    return Peaks(flop_per_s, 2 * num_bytes / best(lambda: target.copy_(source)))
