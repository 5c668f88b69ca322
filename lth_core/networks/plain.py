"""Networks without normalisation: LeNet, other fully connected ones, and Conv-2, Conv-4, Conv-6."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name the field uses

from lth_core.dropout import CounterDropout
from lth_core.tensor_spec import TensorSpec


class PlainNetwork(nn.Module):
    """3x3 convolutions with a 2x2 max-pool after every second one, then dense layers, all with ReLU.

    Dropout acts on the activations of the hidden fully connected layers, behind their ReLU; the paper does not say
    where it puts it.

    Args:
        tensors: Weights and biases in the order of the layers.
        dropout: Share of the hidden units that fall out in training.
        dropout_key: Seed of dropout; None for a network that is only evaluated, which has none.

    References:
        Frankle & Carbin 2019, arXiv:1803.03635, figure 2 and section 3.
    """

    def __init__(self, tensors: Sequence[TensorSpec], dropout: float, dropout_key: int | None) -> None:
        super().__init__()
        convs: list[nn.Module] = []
        dense: list[nn.Module] = []
        for tensor in tensors:
            if not tensor.prunable:
                continue
            layer = _layer(tensor)
            self.add_module(tensor.name.removesuffix(".weight"), layer)
            (convs if tensor.kind == "conv" else dense).append(layer)
        drops: list[nn.Module] = []
        if dropout and dropout_key is not None:
            drops = [CounterDropout(dropout, dropout_key, i) for i in range(len(dense) - 1)]
            for i, drop in enumerate(drops, start=1):
                self.add_module(f"dropout{i}", drop)
        self._convs, self._dense, self._drops = tuple(convs), tuple(dense), tuple(drops)  # no second name in state_dict

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits [N, num_classes] of examples [N, C, H, W]."""
        for i, conv in enumerate(self._convs, start=1):
            x = F.relu(conv(x))
            if i % 2 == 0:
                x = F.max_pool2d(x, 2)
        x = x.flatten(1)
        for i, layer in enumerate(self._dense[:-1]):
            x = F.relu(layer(x))
            if self._drops:
                x = self._drops[i](x)
        logits: Tensor = self._dense[-1](x)
        return logits


def _layer(tensor: TensorSpec) -> nn.Module:
    if tensor.kind == "conv":
        return nn.Conv2d(tensor.shape[1], tensor.shape[0], 3, padding=1)
    return nn.Linear(tensor.shape[1], tensor.shape[0])
