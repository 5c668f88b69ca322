"""Residual networks: the family for small images (ResNet-20 ... 110), and ResNet-18 and 50 of ImageNet."""

from __future__ import annotations

from dataclasses import dataclass

from lth_core.model_spec import ModelSpec
from lth_core.tensor_spec import TensorSpec, batch_norm, convolution, linear

STAGES: dict[str, tuple[int, ...]] = {
    "resnet_20": (3, 3, 3),
    "resnet_32": (5, 5, 5),
    "resnet_44": (7, 7, 7),
    "resnet_56": (9, 9, 9),
    "resnet_110": (18, 18, 18),
    "resnet_18": (2, 2, 2, 2),
    "resnet_50": (3, 4, 6, 3),
}
"""Blocks of each stage; every stage but the first begins with stride 2 and doubles the channels."""
IMAGENET_WIDTH = 64
EXPANSION = 4
"""Output channels of a bottleneck over its inner ones."""


@dataclass(frozen=True)
class Conv:
    """One convolution without bias, followed by batch normalisation: names relative to their block."""

    name: str
    norm: str
    inputs: int
    outputs: int
    kernel: int
    stride: int

    def tensors(self, prefix: str = "") -> tuple[TensorSpec, ...]:
        """Return the tensors of convolution and normalisation."""
        weights = convolution(prefix + self.name, self.inputs, self.outputs, self.kernel, bias=False)
        return weights + batch_norm(prefix + self.norm, self.outputs)


@dataclass(frozen=True)
class Block:
    """One residual block: its convolutions in a row, and the 1x1 one beside them where shapes change."""

    name: str
    convs: tuple[Conv, ...]
    shortcut: Conv | None


@dataclass(frozen=True)
class ResidualPlan:
    """A residual network: stem, whether the stem ends in a 3x3 max-pool of stride 2, and the blocks."""

    stem: Conv
    max_pool: bool
    blocks: tuple[Block, ...]


def residual_plan(model: ModelSpec, channels: int) -> ResidualPlan:
    """Return the plan of a residual network for examples with so many channels.

    Names are torchvision's. `resnet_20` ... `resnet_110` have a 3x3 stem, `width` channels in the first stage and
    1x1 convolutions with batch normalisation as shortcuts where shapes change (option B); `resnet_18` has the same
    blocks and four stages, `resnet_50` bottlenecks with the stride in their 3x3 convolution. The stem `imagenet` is
    7x7 with stride 2 and a max-pool, `cifar` 3x3 with stride 1 and none.

    References:
        He et al. 2016, arXiv:1512.03385, sections 3.3, 4.1 and 4.2.
    """
    large = model.name in ("resnet_18", "resnet_50")
    width = IMAGENET_WIDTH if large else model.width
    imagenet = large and model.stem == "imagenet"
    stem = Conv("conv1", "bn1", channels, width, *((7, 2) if imagenet else (3, 1)))
    blocks: list[Block] = []
    inputs = width
    for stage, num_blocks in enumerate(STAGES[model.name]):
        inner = width << stage
        for i in range(num_blocks):
            name = f"layer{stage + 1}.{i}"
            stride = 2 if stage and not i else 1
            convs = _bottleneck(inputs, inner, stride) if model.name == "resnet_50" else _basic(inputs, inner, stride)
            outputs = convs[-1].outputs
            projected = stride > 1 or inputs != outputs
            shortcut = Conv("downsample.0", "downsample.1", inputs, outputs, 1, stride) if projected else None
            blocks.append(Block(name, convs, shortcut))
            inputs = outputs
    return ResidualPlan(stem, imagenet, tuple(blocks))


def residual(plan: ResidualPlan, num_classes: int) -> tuple[TensorSpec, ...]:
    """Return the tensors of a plan, ending with the output layer `fc`."""
    tensors = list(plan.stem.tensors())
    for block in plan.blocks:
        for conv in (*block.convs, *([block.shortcut] if block.shortcut else [])):
            tensors += conv.tensors(f"{block.name}.")
    return (*tensors, *linear("fc", plan.blocks[-1].convs[-1].outputs, num_classes, "output"))


def _basic(inputs: int, outputs: int, stride: int) -> tuple[Conv, ...]:
    return (Conv("conv1", "bn1", inputs, outputs, 3, stride), Conv("conv2", "bn2", outputs, outputs, 3, 1))


def _bottleneck(inputs: int, inner: int, stride: int) -> tuple[Conv, ...]:
    return (
        Conv("conv1", "bn1", inputs, inner, 1, 1),
        Conv("conv2", "bn2", inner, inner, 3, stride),
        Conv("conv3", "bn3", inner, inner * EXPANSION, 1, 1),
    )
