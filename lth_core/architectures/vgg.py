"""VGG networks with batch normalisation for small images: four poolings, a mean, and one output layer."""

from __future__ import annotations

from collections.abc import Iterator

from lth_core.tensor_spec import TensorSpec, batch_norm, convolution, linear

VGG_CHANNELS: dict[str, tuple[tuple[int, ...], ...]] = {
    "vgg_11": ((64,), (128,), (256,) * 2, (512,) * 2, (512,) * 2),
    "vgg_13": ((64,) * 2, (128,) * 2, (256,) * 2, (512,) * 2, (512,) * 2),
    "vgg_16": ((64,) * 2, (128,) * 2, (256,) * 3, (512,) * 3, (512,) * 3),
    "vgg_19": ((64,) * 2, (128,) * 2, (256,) * 4, (512,) * 4, (512,) * 4),
}
"""Output channels of the 3x3 convolutions, in groups with a 2x2 max-pool between them."""


def vgg(groups: tuple[tuple[int, ...], ...], in_shape: tuple[int, ...], num_classes: int) -> tuple[TensorSpec, ...]:
    """Return the tensors of a VGG: those before the mean are torchvision's `vgg..._bn`, the output layer is `fc`.

    Convolutions have biases, as in the published versions, although the normalisation behind them takes them out.

    Raises:
        ValueError: If an example is too small for the poolings.

    References:
        Simonyan & Zisserman 2015, arXiv:1409.1556, table 1; for small images Frankle & Carbin 2019, arXiv:1803.03635,
        section 4.
    """
    num_pools = len(groups) - 1
    if min(in_shape[1:]) >> num_pools < 1:
        raise ValueError(f"examples of {in_shape[1]}x{in_shape[2]} are too small for {num_pools} poolings")
    tensors: list[TensorSpec] = []
    for place, inputs, outputs in places(groups, in_shape[0]):
        tensors += convolution(f"features.{place}", inputs, outputs, 3, bias=True)
        tensors += batch_norm(f"features.{place + 1}", outputs)
    return (*tensors, *linear("fc", groups[-1][-1], num_classes, "output"))


def places(groups: tuple[tuple[int, ...], ...], inputs: int) -> Iterator[tuple[int, int, int]]:
    """Yield place, input and output channels of each convolution in the chain convolution, norm, ReLU, ..., pool."""
    place = 0
    for group in groups:
        for outputs in group:
            yield place, inputs, outputs
            place, inputs = place + 3, outputs
        place += 1
