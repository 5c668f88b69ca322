"""A convolutional network under one mask: its weights, its optimizer, its step and its evaluation."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name the field uses

from lth_core import random
from lth_core.architectures.convolutional import CHANNELS
from lth_core.dropout import CounterDropout
from lth_core.engines.conv.arrangement import arrange
from lth_core.engines.conv.passes import Passes
from lth_core.evaluation import EVAL_BATCH_SIZE, Score
from lth_core.expansion import LineageSpec
from lth_core.masks import Mask
from lth_core.optimizers import OptimizerState, build_optimizer, load_state, read_state
from lth_core.tensor_spec import prunable
from lth_core.weights import Array, Weights, check_weights

EVAL_BLOCK = 50
"""Images that pass through the layers together in an evaluation: so few that their maps are memory used before."""


class ConvNetwork:
    """Conv-2, Conv-4 or Conv-6 under one mask; all arithmetic is on dense layers between live units.

    The optimizer sees only what is kept, as one vector; pruned weights have no gradient and no state. Dead units are
    left out of the layers, while their weights stay in that vector with a gradient of zero.

    Attributes:
        arrangement: What is computed, and where it lies.

    Args:
        lineage: Network, recipe and replicate.
        mask: What is kept; None keeps all.
        remove: Whether dead units are left out.

    Raises:
        ValueError: If the mask does not fit the network.
    """

    def __init__(self, lineage: LineageSpec, mask: Mask | None, *, remove: bool = True) -> None:
        self._tensors = lineage.tensors()
        num_pools = len(CHANNELS[lineage.model.name]) // 2
        map_size = lineage.in_shape[1] >> num_pools, lineage.in_shape[2] >> num_pools
        self.arrangement = found = arrange(self._tensors, mask, map_size, remove=remove)
        self._trained = torch.from_numpy(found.trained)
        self._live = None if found.live is None else torch.from_numpy(found.live)
        self._work, self._work_gradient = torch.zeros(found.num_work), torch.zeros(found.num_work)
        if self._live is None:
            self._vector, self._gradient = self._work, self._work_gradient
        else:
            self._vector, self._gradient = torch.zeros(len(found.trained)), torch.zeros(len(found.trained))
        self._optimizer = build_optimizer(lineage.train, self._vector)
        self._smoothing = lineage.train.label_smoothing
        self._passes = Passes(found.layers, self._work, self._work_gradient, _drops(lineage))

    def load(self, weights: Mapping[str, Array]) -> None:
        """Copy weights in; pruned ones become zero.

        Raises:
            ValueError: If a tensor is missing, unknown, or of another shape or type.
        """
        checked = check_weights(weights, self._tensors)
        joined = np.concatenate([checked[tensor.name].reshape(-1) for tensor in self._tensors])
        self._vector.copy_(torch.from_numpy(joined)[self._trained])
        self._spread()

    def read(self) -> Weights:
        """Return copies of all weights by name, pruned ones zero, in state_dict order."""
        joined = self._whole(self._vector).numpy()
        found: Weights = {}
        start = 0
        for tensor in self._tensors:
            found[tensor.name] = joined[start : start + tensor.size].reshape(tensor.shape).copy()
            start += tensor.size
        return found

    def load_state(self, state: Mapping[str, Array]) -> None:
        """Copy in what the optimizer remembers of all parameters; that of pruned ones is left out.

        Raises:
            ValueError: If a name is missing or unknown, or an array is not float32, of another shape, or not finite.
        """
        whole = (self.arrangement.num_all,)
        for name, array in state.items():
            if array.shape not in (whole, ()):
                raise ValueError(f"{name} of the optimizer must be float32 of shape {whole}, got {array.shape}")
        load_state(self._optimizer, {n: a[self.arrangement.trained] if a.ndim else a for n, a in state.items()})

    def read_state(self) -> OptimizerState:
        """Return copies of what the optimizer remembers of all parameters, zero of pruned ones."""
        state = read_state(self._optimizer)
        return {n: self._whole(torch.from_numpy(a)).numpy() if a.ndim else a for n, a in state.items()}

    def snapshot(self) -> Tensor:
        """Return a copy of everything that is trained."""
        return self._vector.clone()

    def restore(self, snapshot: Tensor) -> None:
        """Go back to a copy."""
        self._vector.copy_(snapshot)
        self._spread()

    @property
    def is_finite(self) -> bool:
        """Whether no weight is NaN or infinite."""
        return bool(torch.isfinite(self._vector).all())

    @torch.no_grad()
    def step(self, images: Tensor, labels: Tensor, step: int, lr: float) -> tuple[Tensor, Tensor]:
        """Do one update.

        Args:
            images: Normalised examples, [N, C, H, W].
            labels: Classes, [N].
            step: Updates done before; only dropout asks.
            lr: Learning rate.

        Returns:
            The mean loss that is minimised, and the logits [N, num_classes], both from before the update.
        """
        loss, logits = self._passes.both(images, labels, self._smoothing, step)
        if self._live is not None:
            num_live = len(self._live)
            torch.index_select(self._work_gradient, 0, self._live, out=self._gradient[:num_live])
            self._gradient[num_live:] = 0
        self._optimizer.step(self._gradient, lr)
        self._spread()
        return loss, logits

    @torch.no_grad()
    def evaluate(self, images: Tensor, labels: Tensor, beat: Callable[[], None]) -> Score:
        """Evaluate the network as it stands; sums run over the same batches as the reference's.

        Args:
            images: Normalised examples, [N, C, H, W].
            labels: Classes, [N].
            beat: Called after every block of images, to show that work goes on.
        """
        loss_sum, num_correct = 0.0, 0
        for start in range(0, len(labels), EVAL_BATCH_SIZE):
            end = min(start + EVAL_BATCH_SIZE, len(labels))
            found = []
            for first in range(start, end, EVAL_BLOCK):
                found.append(self._passes.logits(images[first : min(first + EVAL_BLOCK, end)]))
                beat()
            logits, wanted = torch.cat(found), labels[start:end]
            loss_sum += float(F.cross_entropy(logits, wanted, reduction="sum"))
            num_correct += int((logits.argmax(1) == wanted).sum())
        return Score(loss=loss_sum / len(labels), accuracy=num_correct / len(labels))

    def _spread(self) -> None:
        """Write what is trained into the layers."""
        if self._live is not None:
            self._work.scatter_(0, self._live, self._vector[: len(self._live)])

    def _whole(self, trained: Tensor) -> Tensor:
        """Return a vector over all parameters, zero where they are pruned."""
        whole = torch.zeros(self.arrangement.num_all)
        whole[self._trained] = trained
        return whole


def _drops(lineage: LineageSpec) -> list[CounterDropout]:
    if not lineage.model.dropout:
        return []
    num_hidden = sum(tensor.kind == "fc" for tensor in prunable(lineage.tensors()))
    key = random.seed_key(lineage.replicate, "dropout")
    return [CounterDropout(lineage.model.dropout, key, i) for i in range(num_hidden)]
