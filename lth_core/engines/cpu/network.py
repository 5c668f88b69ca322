"""The native network of one plan: its names and shapes around the kernels' flat vectors, and its evaluation sets."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from lth_core.architecture import dense_sizes, prunable
from lth_core.data import Split, TensorData
from lth_core.engines.base import Plan
from lth_core.evaluation import Score
from lth_core.masks import check_mask
from lth_core.measuring import Part
from lth_core.native.network import NativeNetwork, NativeOptimizer
from lth_core.native.tiles import EvalTiles
from lth_core.optimizers import OptimizerState
from lth_core.weights import Array, Weights, check_weights

Vector = npt.NDArray[np.float32]


class CpuNetwork:
    """A plan's network in native memory; as the judge sees it, too.

    Args:
        plan: What is trained.
        data: The data set, in memory.
        parts: Which of its training examples validate.

    Raises:
        ValueError: If weights, mask or the optimizer's state do not fit the network.
    """

    def __init__(self, plan: Plan, data: TensorData, parts: Split) -> None:
        lineage, recipe = plan.lineage, plan.lineage.train
        self._tensors = lineage.tensors()
        mask = None if plan.mask is None else check_mask(plan.mask, self._tensors)
        self._net = NativeNetwork(
            dense_sizes(lineage.model, lineage.in_shape, lineage.num_classes),
            [None if mask is None else mask[tensor.name] for tensor in prunable(self._tensors)],
            recipe.batch_size,
            NativeOptimizer(
                recipe.optimizer, recipe.momentum, recipe.weight_decay, recipe.weight_decay_mode == "decoupled"
            ),
            recipe.label_smoothing,
        )
        self._images = data.train_images.reshape(len(data.train_images), -1).numpy()
        self._labels = data.train_labels.numpy().astype(np.int32)
        test = data.test_images.reshape(len(data.test_images), -1).numpy(), data.test_labels.numpy().astype(np.int32)
        chosen = parts.validation
        self._sets: dict[Part, EvalTiles] = {
            "validation": EvalTiles(self._images[chosen], self._labels[chosen]),
            "test": EvalTiles(*test),
        }
        self._is_adam = recipe.optimizer == "adam"
        self._first_step = plan.first_step
        self._count = 0
        self._best: Vector | None = None
        self._load(plan.start, plan.optimizer_state)

    def train(
        self, examples: npt.NDArray[np.int32], rates: npt.NDArray[np.float64], step: int
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int32]]:
        """Do one update per row of examples; return each one's mean loss and number of correct predictions.

        Args:
            examples: Indices of training examples, [num_steps, batch_size].
            rates: Learning rate of each step; those beyond the rows are not looked at.
            step: Updates done.
        """
        count = self._count + step - self._first_step
        return self._net.train(self._images, self._labels, examples, rates[: len(examples)], count)

    def read(self) -> Weights:
        """Return copies of the weights by name, in state_dict order."""
        vector, found, start = self._net.read(), {}, 0
        for tensor in self._tensors:
            found[tensor.name] = vector[start : start + tensor.size].reshape(tensor.shape).copy()
            start += tensor.size
        return found

    def read_state(self, step: int) -> OptimizerState:
        """Return copies of what the optimizer remembers after `step` updates."""
        state: OptimizerState = dict(self._net.read_state())
        if self._is_adam:
            state["count"] = np.array(self._count + step - self._first_step, dtype=np.float32)
        return state

    def load(self, weights: Mapping[str, Array], state: OptimizerState, best: Mapping[str, Array]) -> None:
        """Go back to what a checkpoint holds."""
        self._load(weights, {name: array for name, array in state.items() if name != "count"})
        self._best = np.ascontiguousarray(best["vector"]) if best else None

    def read_best(self) -> dict[str, Array]:
        """Return the copy at the lowest validation loss as it would be stored; empty if there is none."""
        return {} if self._best is None else {"vector": self._best}

    def score(self, part: Part, beat: Callable[[], None]) -> Score:
        """Evaluate the network as it stands."""
        tiles = self._sets[part]
        loss, num_correct = self._net.evaluate(tiles)
        beat()
        return Score(loss / tiles.num, num_correct / tiles.num)

    def keep_best(self) -> None:
        """Keep a copy."""
        self._best = self._net.read()

    def go_to_best(self) -> None:
        """Become the copy."""
        assert self._best is not None
        self._net.load(self._best)

    def _load(self, weights: Mapping[str, Array], state: OptimizerState | None) -> None:
        checked = check_weights(weights, self._tensors)
        self._net.load(np.concatenate([checked[tensor.name].reshape(-1) for tensor in self._tensors]))
        if state is not None:
            self._count = int(state["count"]) if "count" in state else self._count
            self._net.load_state({name: array for name, array in state.items() if name != "count"})
