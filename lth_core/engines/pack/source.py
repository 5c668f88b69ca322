"""Where a program's examples come from: bytes, labels, and for each slot which of them come when."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lth_core.engines.pack.resident import ResidentData
from lth_core.engines.pack.state import Clock
from lth_core.evaluation import EVAL_BATCH_SIZE


@dataclass(frozen=True)
class Source:
    """Examples in batches of R; the last one may be short.

    Attributes:
        images: uint8 [N, F].
        labels: int32 [N].
        scales: float32 [N].
        index: Examples of each slot, int32 [G, S, R]; what fills up the last batch is any example.
        num_examples: Examples of each slot, of the S * R that `index` names.
    """

    images: Tensor
    labels: Tensor
    scales: Tensor
    index: Tensor
    num_examples: int

    @property
    def num_rows(self) -> int:
        """Examples of one batch, R."""
        return self.index.shape[2]

    @property
    def num_batches(self) -> int:
        """Batches, S."""
        return self.index.shape[1]

    def batch(self, clock: Clock, slots: slice) -> tuple[Tensor, Tensor, Tensor]:
        """Return indices and labels of the next batch, int32 [n, R], and which rows count, bool [R].

        It does not read the device from the host.
        """
        step = clock.cursor.clamp(max=self.num_batches - 1)
        index = self.index[slots].index_select(1, step)[:, 0]
        labels = self.labels.index_select(0, index.reshape(-1)).view(index.shape)
        rows = torch.arange(self.num_rows, device=index.device, dtype=torch.int32)
        return index, labels, rows + step * self.num_rows < self.num_examples

    def choose(self, slot: int, examples: npt.NDArray[np.integer]) -> None:
        """Say which examples a slot is judged by."""
        flat = torch.zeros(self.num_batches * self.num_rows, dtype=torch.int32)
        flat[: len(examples)] = torch.from_numpy(examples.astype(np.int32))
        self.index[slot].copy_(flat.view(self.num_batches, self.num_rows))


def training_source(data: ResidentData, order: Tensor) -> Source:
    """Return the source of a pack's training batches, `order` int32 [G, S, batch_size]."""
    return Source(data.train_images, data.train_labels, data.train_scales, order, order.shape[1] * order.shape[2])


def validation_source(data: ResidentData, num_slots: int, num_examples: int) -> Source:
    """Return the source of validation batches; each slot chooses its own examples."""
    batches = -(-num_examples // EVAL_BATCH_SIZE)
    shape = num_slots, batches, min(EVAL_BATCH_SIZE, num_examples)
    index = torch.zeros(shape, dtype=torch.int32, device=data.train_images.device)
    return Source(data.train_images, data.train_labels, data.train_scales, index, num_examples)


def test_source(data: ResidentData, num_slots: int) -> Source:
    """Return the source of test batches, one list of examples that all slots share."""
    num = len(data.test_labels)
    rows = min(EVAL_BATCH_SIZE, num)
    batches = -(-num // rows)
    every = torch.arange(batches * rows, dtype=torch.int32, device=data.test_images.device).clamp_(max=num - 1)
    index = every.view(1, batches, rows).expand(num_slots, -1, -1)
    return Source(data.test_images, data.test_labels, data.test_scales, index, num)
