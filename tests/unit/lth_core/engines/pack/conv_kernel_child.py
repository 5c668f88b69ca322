"""Run in a process of its own: kernels of convolutions beside their plain forms, interpreted, or compiled for a GPU.

    python -m tests.unit.lth_core.engines.pack.conv_kernel_child interpret|compile

`interpret` needs TRITON_INTERPRET=1 in the environment. The answer is one JSON document on standard output.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import torch
from torch import Tensor

from lth_core.determinism import pin
from lth_core.engines.pack import conv_kernels, plain, plain_conv, pool_kernels
from lth_core.engines.pack.conv_launches import ConvLauncher
from lth_core.engines.pack.layout import Arrangement
from lth_core.engines.pack.resident import ResidentData
from lth_core.engines.pack.source import Source
from lth_core.engines.pack.stages import Convolution, Layer, Pool
from lth_core.engines.pack.state import PackState
from lth_core.engines.pack.tiling import num_splits
from tests.support.triton_children import compiled, recorded

CPU = torch.device("cpu")
SLOTS, SICK, INACTIVE, WELL = 4, 1, 2, [0, 3]
UNTOUCHED = 7.0
NUM_IMAGES = 20
START = 3
"""Where the weights begin in a row: not where its alignment does."""

Case = tuple[int, int, int, int, int, bool, int]
"""Examples R, height, width, channels, outputs, whether it reads bytes, and how many examples the batch lacks."""
CASES: list[Case] = [
    (3, 7, 5, 3, 5, True, 0),
    (3, 7, 5, 33, 70, False, 1),
    (2, 4, 6, 32, 33, False, 0),
    (3, 37, 37, 2, 5, True, 1),
]
CIFAR: list[Case] = [(60, 32, 32, 3, 64, True, 0), (60, 16, 16, 64, 128, False, 0)]


class Made:
    """A pack of four slots at its second step: the second slot has a NaN, the third does not train."""

    def __init__(self, case: Case) -> None:
        rows, height, width, channels, outputs, self.from_bytes, self.missing = case
        draw, num = torch.Generator().manual_seed(3), 9 * channels * outputs
        self.conv = Convolution(Layer(9 * channels, outputs, START, START + num), channels, height, width)
        self.pool = Pool(outputs, height, width)
        self.state = PackState(SLOTS, Arrangement(START + num + outputs), 0, 2, rows, CPU)
        self.state.weights.copy_(torch.randn(self.state.weights.shape, generator=draw) / 9)
        self.state.weights[SICK, START + 1] = float("nan")
        self.state.clock.start([2, 2, 1, 2])
        self.state.clock.tick()
        images = torch.randint(0, 256, (NUM_IMAGES, channels * height * width), generator=draw).to(torch.uint8)
        labels, scales = torch.zeros(NUM_IMAGES, dtype=torch.int32), torch.rand(NUM_IMAGES, generator=draw) + 0.5
        table = torch.randn(channels, 256, generator=draw)
        self.data = ResidentData(images, labels, scales, images, labels, scales, table, height * width)
        index = torch.randint(0, NUM_IMAGES, (SLOTS, 2, rows), generator=draw).to(torch.int32)
        self.source = Source(images, labels, scales, index, 2 * rows - self.missing)
        self.x = torch.randn(SLOTS, rows, height * width * channels, generator=draw).relu()
        self.delta = torch.randn(SLOTS, rows, self.conv.size, generator=draw)
        self.pooled_delta = torch.randn(SLOTS, rows, self.pool.size, generator=draw)
        self.map = torch.randn(SLOTS, rows, self.conv.size, generator=draw).round().relu()  # maxima tie
        for y, x in [(0, 0), (0, 3), (3, 0), (3, 3)]:  # each place of a window once
            self.map[SICK, :, (y * width + x) * outputs] = float("nan")

    def seen(self) -> Tensor:
        """What the convolution reads."""
        if not self.from_bytes:
            return self.x
        data, conv = self.data, self.conv
        images = plain.take(data.train_images, data.train_scales, data.table, data.pixels, self.source.index[:, 1])
        return plain_conv.channels_last(images, conv.channels, conv.height, conv.width)


def of_kernels(made: Made) -> dict[str, Tensor]:
    """What every kernel writes, and what was there where it writes nothing."""
    launch, conv, clock, rows = ConvLauncher(made.state, made.data), made.conv, made.state.clock, made.x.shape[1]
    splits = num_splits(rows * conv.height * conv.width)
    shapes: dict[str, tuple[int, ...]] = {
        "forward": made.delta.shape,
        "backward": made.x.shape,
        "weight sums": (SLOTS, splits, conv.layer.outputs, conv.layer.inputs),
        "bias sums": (SLOTS, splits, conv.layer.outputs),
        "pool": made.pooled_delta.shape,
        "unpool": made.map.shape,
    }
    out = {name: torch.full(shape, UNTOUCHED) for name, shape in shapes.items()}
    of, sums = made.from_bytes, (out["weight sums"], out["bias sums"])
    launch.forward(conv, made.x, made.source, clock, out["forward"], from_bytes=of)
    launch.backward(conv, made.delta, made.x, out["backward"])
    launch.gradient(conv, made.delta, made.x, made.source, *sums, from_bytes=of)
    launch.pool(made.pool, made.map, clock, out["pool"])
    launch.unpool(made.pool, made.pooled_delta, made.map, out["unpool"])
    return out


def of_torch(made: Made) -> dict[str, Tensor]:
    """The same in plain torch, partial sums added up."""
    conv, layer, seen = made.conv, made.conv.layer, made.seen()
    weight = made.state.weights[:, layer.weight : layer.bias].unflatten(1, (layer.outputs, layer.inputs))
    bias = made.state.weights[:, layer.bias : layer.bias + layer.outputs]
    forward = plain_conv.convolve(seen, weight, bias, conv)
    forward[:, len(forward[0]) - made.missing :] = UNTOUCHED
    of_weight, of_bias = plain_conv.convolution_gradients(made.delta, seen, conv)
    return {
        "forward": forward,
        "backward": plain_conv.convolve_backward(made.delta, weight, made.x, conv),
        "weight sums": of_weight,
        "bias sums": of_bias,
        "pool": plain_conv.pool(made.map, made.pool),
        "unpool": plain_conv.unpool(made.pooled_delta, made.map, made.pool),
    }


def apart(ours: Tensor, theirs: Tensor) -> float:
    """Return the largest difference, relative to the largest number."""
    return float((ours - theirs).abs().max() / theirs.abs().max())


def compared(case: Case) -> dict[str, Any]:
    """Compare kernels to plain torch, slot by slot."""
    made = Made(case)
    ours, theirs = of_kernels(made), of_torch(made)
    inactive = torch.cat([found[INACTIVE].flatten() for found in ours.values()])
    splits = ours["weight sums"].shape[1]
    ours |= {name: ours[name].sum(1) for name in ("weight sums", "bias sums")}
    sick = {name: (ours[name][SICK], theirs[name][SICK]) for name in ours}
    return {
        "case": str(case),
        "splits": splits,
        "errors": {name: apart(ours[name][WELL], theirs[name][WELL]) for name in theirs},
        "inactive untouched": bool((inactive == UNTOUCHED).all()),
        "sick has nan": bool(ours["forward"][SICK].isnan().any() and ours["pool"][SICK].isnan().any()),
        "same nan": all(torch.equal(one.isnan(), other.isnan()) for one, other in sick.values()),
        "same beside nan": max(apart(one.nan_to_num(), other.nan_to_num()) for one, other in sick.values()),
    }


def compile_all() -> list[str]:
    """Compile every launch on some convolutions for compute capability 9.0; return the names."""
    recorders = recorded(conv_kernels, ("conv_forward_kernel", "conv_backward_kernel", "conv_gradient_kernel"))
    recorders |= recorded(pool_kernels, ("pool_kernel", "unpool_kernel"))
    for case in CIFAR:
        of_kernels(Made(case))
    done = []
    for name, recorder in recorders.items():
        for args, options in recorder.launches:
            compiled(recorder.kernel, args, options)
            done.append(name)
    return done


if __name__ == "__main__":
    pin(1)
    json.dump([compared(case) for case in CASES] if sys.argv[1] == "interpret" else compile_all(), sys.stdout)
