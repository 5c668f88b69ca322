"""Gradual magnitude pruning: a mask that tightens while its network trains, along a cubic schedule."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from lth_core.architecture import prunable
from lth_core.cells import gradual_end_step
from lth_core.criteria import Scores
from lth_core.errors import NonFiniteError
from lth_core.expansion import LineageSpec
from lth_core.masks import Mask, full_mask
from lth_core.pruning import apart, join, remove_smallest
from lth_core.targets import targets


def cubic_sparsity(initial: float, final: float, progress: float) -> float:
    """Return s(q) = s_f + (s_0 - s_f)(1 - q)^3, the share of weights that are pruned at progress q in [0, 1].

    References:
        Zhu & Gupta 2017, arXiv:1710.01878, equation 1.
    """
    return final + (initial - final) * (1 - progress) ** 3


class Tightening:
    """When and how far the mask of one gradually pruned network tightens.

    The schedule is that of the total sparsity over all prunable weights, from `initial_sparsity` (or the level's own,
    where that is lower) after `begin_step` updates to the level's after `end_step`, every `every` updates and at the
    end. What is pruned then, in proportion to the total, comes from each group that is ranked together (each layer, or
    one pool) as round(share of the way * what the group loses in the end); of its survivors the smallest magnitudes
    go. So every mask is a subset of the one before, and the last has exactly the level's counts. A training that
    begins after `begin_step` begins under the mask of its first step.

    Attributes:
        begin_step: Updates before the first pruning.
        end_step: Updates before the last one.

    Args:
        lineage: Whose tensors and prune setting apply.
        level: Whose density is reached.

    References:
        Zhu & Gupta 2017, arXiv:1710.01878, section 3.
    """

    def __init__(self, lineage: LineageSpec, level: int) -> None:
        prune = lineage.prune
        self._tensors = prunable(lineage.tensors())
        goals = targets(lineage.tensors(), prune, lineage.method, level)
        self._groups = [(scope, sum(tensor.size for tensor in scope) - kept) for scope, kept in goals]
        self._final = sum(lost for _, lost in self._groups) / sum(tensor.size for tensor in self._tensors)
        self._initial = min(prune.initial_sparsity, self._final)
        self._first_step = lineage.rewind.step
        self._every = prune.every
        self.begin_step = prune.begin_step
        self.end_step = gradual_end_step(lineage.train, prune)

    @property
    def final_sparsity(self) -> float:
        """Share of all prunable weights that is gone in the end."""
        return self._final

    def is_due(self, done: int) -> bool:
        """Tell whether the mask tightens after `done` updates."""
        if done == self.end_step or (done == self._first_step and done > self.begin_step):
            return True
        return self.begin_step <= done < self.end_step and (done - self.begin_step) % self._every == 0

    def sparsity(self, done: int) -> float:
        """Return the total sparsity that the schedule asks for after `done` updates, `done` >= `begin_step`."""
        progress = min((done - self.begin_step) / (self.end_step - self.begin_step), 1.0)
        return cubic_sparsity(self._initial, self._final, progress)

    def mask_after(self, done: int, mask: Mask | None, weights: Mapping[str, Scores]) -> Mask:
        """Return the mask after `done` updates: this one without its smallest weights.

        Args:
            done: Updates done.
            mask: What was kept so far; None keeps all.
            weights: The network's weights now.

        Raises:
            NonFiniteError: If a surviving weight is not finite.
        """
        tighter = dict(full_mask(self._tensors) if mask is None else mask)
        share = self.sparsity(done) / self._final if self._final else 0.0
        for scope, lost in self._groups:
            alive, magnitudes = join(tighter, scope), np.abs(join(weights, scope))
            if not np.isfinite(magnitudes[alive]).all():
                raise NonFiniteError(done, "weight")
            num = round(share * lost) - int(np.count_nonzero(~alive))
            tighter.update(apart(remove_smallest(magnitudes, alive, max(num, 0)), scope))
        return tighter
