"""Checks of a ticket's weights and masks: which weights left, where the others returned to, and that zeros are zero."""

from __future__ import annotations

import numpy as np

from lth_core import random
from lth_core.beginning import Beginning
from lth_core.initialisation import glorot_normal
from lth_core.masks import Mask
from lth_core.methods import find_mask
from lth_core.names import AT_INIT
from lth_core.pruning import next_mask
from lth_core.transfer import transferred_mask, transferred_weights
from lth_core.weights import Weights, content_digest
from workers.evidence import Evidence, same_bits
from workers.evidence_tasks import same_environment, start_at, tensor_data
from workers.report import Failed, Skipped


def check_selection(evidence: Evidence) -> str:
    """Every mask is the one that its method finds again, where the weights it follows from were kept.

    Those of level 0 always are. The mask of gradual pruning follows from the training itself: training again checks it.
    """
    method = evidence.lineage.method
    if method == "gradual":
        raise Skipped("the mask of gradual pruning follows from the training itself; --retrain checks it")
    checked = []
    for level in range(1, len(evidence.source)):
        expected = _found_again(evidence, level)
        if expected is None:
            continue
        found = evidence.mask(evidence.source[level])
        num = sum(int(np.count_nonzero(found[name] != expected[name])) for name in expected)
        if num and method in AT_INIT and not same_environment(evidence, evidence.source[level]):
            raise Skipped(f"level {level}: scores of another environment rank {num} positions otherwise")
        if num:
            raise Failed(f"level {level}: the mask differs in {num} positions from the one that {method} finds again")
        checked.append(level)
    if not checked:
        raise Skipped("no trained weights of an earlier level were kept")
    rest = "" if len(checked) == evidence.level else "; trained weights before the others were not kept"
    return f"levels {', '.join(map(str, checked))}{rest}"


def _found_again(evidence: Evidence, level: int) -> Mask | None:
    """Return the mask that a chain's method finds for a level, None where what it follows from was not kept."""
    lineage, dense = evidence.chain_plan.spec, evidence.source[0]
    origin = evidence.origin()
    if origin is not None and lineage.origin is not None:
        return transferred_mask(lineage, lineage.origin, origin.mask)
    rewind = evidence.dense_rewind()
    if lineage.method != "imp":
        final = evidence.stored_weights(dense, "final")
        return find_mask(lineage, level, rewind=rewind, dense_final=final, data=tensor_data(evidence))
    before = evidence.source[level - 1]
    if "final" not in before["stored"]:
        return None
    mask = evidence.mask(before) if level > 1 else None
    return next_mask(lineage, mask, evidence.stored_weights(before, "final"), rewind=rewind, level=level - 1)


def check_control(evidence: Evidence) -> str:
    """A control's masks are those that its treatment makes of its ticket's masks."""
    treatment = evidence.lineage.treatment
    for level in range(evidence.first_level, len(evidence.chain)):
        found = evidence.mask(evidence.chain[level])
        expected = evidence.mask(evidence.source[level]) if treatment == "identity" else start_at(evidence, level).mask
        assert expected is not None  # only the dense network has none
        for name in expected:
            if not np.array_equal(found[name], expected[name]):
                raise Failed(f"level {level}: {name} is not what {treatment} makes of the ticket's mask")
    return f"{treatment} {evidence.lineage.repeat}, levels {evidence.first_level}..{evidence.level}"


def check_rewind(evidence: Evidence) -> str:
    """Every level starts bit for bit where it should: from W_k, from what its control draws, or from trained weights.

    A chain that keeps its trained weights starts each level from those of the level before.
    """
    lineage, dense = evidence.lineage, evidence.dense_rewind()
    if lineage.rewind.step == 0 and content_digest(_initial_weights(evidence)) != content_digest(dense):
        raise Failed("the dense network did not start from the weights that its seed draws, or that were transferred")
    compared, first = 0, evidence.first_level
    for level in range(first, len(evidence.chain)):
        manifest = evidence.chain[level]
        begin = start_at(evidence, level)
        if manifest["core"]["digests"]["rewind"] != content_digest(begin.weights):
            raise Failed(f"level {level}: digest of the rewind weights is not that of the expected ones")
        if (error := manifest["core"]["rewind_max_abs_err"]) != 0:
            raise Failed(f"level {level}: training began {error} off its rewind weights")
        if "rewind" in manifest["stored"]:
            compared += _compare_start(evidence, level, begin)
    what = f"{compared} stored weights" if compared else "digests (rewind weights were not kept)"
    carried = lineage.carries_weights
    where = "the trained weights of the level before" if carried else f"W_{lineage.rewind.step}"
    return f"{what} of levels {first}..{evidence.level} equal {where}, largest difference 0"


def _compare_start(evidence: Evidence, level: int, begin: Beginning) -> int:
    """Compare the stored start weights of a level with the expected ones, and return how many are kept."""
    mask, compared = evidence.mask(evidence.chain[level]), 0
    stored = evidence.stored_weights(evidence.chain[level], "rewind")
    for name, weights in begin.weights.items():
        kept = mask.get(name, np.ones(weights.shape, np.bool_))
        if not same_bits(stored[name][kept], weights[kept]):
            raise Failed(f"level {level}: {name} differs from where training had to start, where it is kept")
        compared += int(np.count_nonzero(kept))
    return compared


def _initial_weights(evidence: Evidence) -> Weights:
    lineage, origin = evidence.lineage, evidence.origin()
    if origin is not None and lineage.origin is not None:
        return transferred_weights(lineage, lineage.origin, origin.weights)
    return glorot_normal(evidence.tensors, random.seed_key(lineage.replicate, "init"))


def check_pruned(evidence: Evidence) -> str:
    """Pruned entries of the trained weights are +0.0, bit for bit, or still those of W_k where they are held."""
    final, mask = evidence.final_weights(), evidence.mask(evidence.ticket)
    held = evidence.dense_rewind() if evidence.lineage.treatment == "frozen" else None
    what = "+0.0" if held is None else f"held at W_{evidence.lineage.rewind.step}"
    count = 0
    for name, kept in mask.items():
        pruned = np.ascontiguousarray(final[name][~kept])
        expected = np.zeros_like(pruned) if held is None else np.ascontiguousarray(held[name][~kept])
        if num := int(np.count_nonzero(pruned.view(np.uint32) != expected.view(np.uint32))):
            raise Failed(f"{name}: {num} pruned weights are not {what}")
        count += pruned.size
    return f"{count} pruned weights are {what}"
