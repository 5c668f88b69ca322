"""The paper's Conv-2, Conv-4 and Conv-6: small VGGs with two hidden fully connected layers and no normalisation."""

from __future__ import annotations

from lth_core.architectures.dense import dense
from lth_core.tensor_spec import TensorSpec, convolution

CHANNELS = {"conv_2": (64, 64), "conv_4": (64, 64, 128, 128), "conv_6": (64, 64, 128, 128, 256, 256)}
HIDDEN = (256, 256)


def convolutional(channels: tuple[int, ...], in_shape: tuple[int, ...], num_classes: int) -> tuple[TensorSpec, ...]:
    """Return 3x3 convolutions with padding 1, a 2x2 max-pool after every second one, then two hidden dense layers.

    Raises:
        ValueError: If an example is too small for the poolings.

    References:
        Frankle & Carbin 2019, arXiv:1803.03635, figure 2.
    """
    inputs, height, width = in_shape
    tensors: list[TensorSpec] = []
    for i, outputs in enumerate(channels, start=1):
        tensors += convolution(f"conv{i}", inputs, outputs, 3, bias=True)
        inputs = outputs
    num_pools = len(channels) // 2
    height, width = height >> num_pools, width >> num_pools
    if min(height, width) < 1:
        raise ValueError(f"examples of {in_shape[1]}x{in_shape[2]} are too small for {num_pools} poolings")
    return (*tensors, *dense((inputs * height * width, *HIDDEN, num_classes)))
