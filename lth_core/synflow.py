"""SynFlow: masks without data, by iterating over the synaptic flow of a network of absolute values."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from lth_core.errors import UserError
from lth_core.expansion import LineageSpec
from lth_core.masks import Mask, full_mask
from lth_core.models import FlatNetwork
from lth_core.pruning import apart, join, remove_smallest
from lth_core.scopes import Scope
from lth_core.weights import Weights

NUM_ITERATIONS = 100
Flow = dict[str, npt.NDArray[np.float64]]


def synflow_mask(
    lineage: LineageSpec, rewind: Weights, targets: Sequence[tuple[Scope, int]], device: torch.device
) -> Mask:
    """Return the mask that SynFlow finds from W_k.

    In iterations i = 1..100 every group of tensors that is ranked together keeps its n r^(i / 100) best weights, r
    being its target share; a weight that left has no flow and never comes back. The last count is the target itself.

    Args:
        lineage: Whose network.
        rewind: W_k.
        targets: Groups of pruned tensors with the weights that each keeps.
        device: Where the flow is computed.

    Raises:
        UserError: If the flow is not finite.

    References:
        Tanaka et al. 2020, "Pruning neural networks without any data by iteratively conserving synaptic flow",
        arXiv:2006.05467, algorithm 1.
    """
    network = _Positive(lineage, rewind, device)
    mask = full_mask(lineage.tensors())
    for i in range(1, NUM_ITERATIONS + 1):
        flow = network.flow(mask)
        for scope, kept in targets:
            alive = join(mask, scope)
            wanted = kept if i == NUM_ITERATIONS else round(alive.size * (kept / alive.size) ** (i / NUM_ITERATIONS))
            mask.update(apart(remove_smallest(join(flow, scope), alive, int(alive.sum()) - wanted), scope))
    return mask


def synaptic_flow(lineage: LineageSpec, rewind: Weights, mask: Mask, device: torch.device) -> Flow:
    """Return |w dR/dw| of every prunable weight under a mask, R being the sum of the outputs for an input of ones.

    Parameters and buffers are replaced by their absolute values, batch normalisation runs in evaluation mode, and all
    is float64, because R grows beyond float32 in deep networks. The given weights stay as they are, signs included.

    Raises:
        UserError: If the flow is not finite.

    References:
        Tanaka et al. 2020, arXiv:2006.05467, equation 2 and section 6.
    """
    return _Positive(lineage, rewind, device).flow(mask)


class _Positive:
    """A copy of a network in float64, whose parameters and buffers are absolute values."""

    def __init__(self, lineage: LineageSpec, rewind: Weights, device: torch.device) -> None:
        net = FlatNetwork(lineage.model, lineage.in_shape, lineage.num_classes, device)
        net.load(rewind)
        self._network: nn.Module = copy.deepcopy(net.network).double().eval()
        with torch.no_grad():
            for tensor in (*self._network.parameters(), *self._network.buffers()):
                tensor.abs_()
        named = dict(self._network.named_parameters())
        self._weights = {tensor.name: named[tensor.name] for tensor in net.tensors if tensor.prunable}
        self._whole = {name: weight.detach().clone() for name, weight in self._weights.items()}
        self._ones = torch.ones((1, *lineage.in_shape), dtype=torch.float64, device=device)

    def flow(self, mask: Mask) -> Flow:
        """Return |w dR/dw| of every prunable weight under a mask."""
        with torch.no_grad():
            for name, weight in self._weights.items():
                kept = torch.from_numpy(mask[name]).to(weight.device)
                weight.copy_(torch.where(kept, self._whole[name], 0.0))
        total = self._network(self._ones).sum()
        gradients = torch.autograd.grad(total, list(self._weights.values()), allow_unused=True, materialize_grads=True)
        flow = {}
        for (name, weight), gradient in zip(self._weights.items(), gradients, strict=True):
            flow[name] = (weight.detach() * gradient).abs().cpu().numpy()
            if not np.isfinite(flow[name]).all():
                raise UserError(f"synflow: the flow through {name} is not finite, so that it ranks nothing")
        return flow
