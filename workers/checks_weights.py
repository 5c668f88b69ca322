"""Checks of a ticket's weights and masks: which weights left, where the others returned to, and that zeros are zero."""

from __future__ import annotations

import numpy as np

from lth_core import random
from lth_core.controls import starting_point
from lth_core.initialisation import glorot_normal
from lth_core.pruning import next_mask
from lth_core.weights import content_digest
from workers.evidence import Evidence, same_bits
from workers.report import Failed, Skipped


def check_selection(evidence: Evidence) -> str:
    """Where trained weights were kept, exactly the smallest of them left; those of level 0 always are."""
    checked = []
    for level in range(1, len(evidence.source)):
        before, after = evidence.source[level - 1], evidence.source[level]
        if "final" not in before["stored"]:
            continue
        mask = evidence.mask(before) if level > 1 else None
        expected = next_mask(evidence.lineage, mask, evidence.stored_weights(before, "final"))
        found = evidence.mask(after)
        if any(not np.array_equal(found[name], expected[name]) for name in expected):
            raise Failed(f"level {level}: the mask does not keep the largest weights of level {level - 1}")
        checked.append(level)
    if not checked:
        raise Skipped("no trained weights of an earlier level were kept")
    rest = "" if len(checked) == evidence.level else "; trained weights before the others were not kept"
    return f"levels {', '.join(map(str, checked))}{rest}"


def check_control(evidence: Evidence) -> str:
    """A control's masks are those that its seed draws from its ticket's masks."""
    rewind = evidence.dense_rewind()
    for level in range(1, len(evidence.chain)):
        source = evidence.mask(evidence.source[level])
        expected, _ = starting_point(evidence.lineage, level, source, rewind)
        found = evidence.mask(evidence.chain[level])
        for name in expected:
            if not np.array_equal(found[name], expected[name]):
                raise Failed(f"level {level}: {name} is not what {evidence.lineage.treatment} draws")
    return f"{evidence.lineage.treatment} {evidence.lineage.repeat}, levels 1..{evidence.level}"


def check_rewind(evidence: Evidence) -> str:
    """Every level starts from the dense network's W_k bit for bit, or from what its control draws anew."""
    dense = evidence.dense_rewind()
    lineage = evidence.lineage
    if lineage.rewind.step == 0:
        drawn = glorot_normal(evidence.tensors, random.seed_key(lineage.replicate, "init"))
        if content_digest(drawn) != content_digest(dense):
            raise Failed("the dense network did not start from the weights that its seed draws")
    compared = 0
    for level in range(1, len(evidence.chain)):
        manifest = evidence.chain[level]
        mask, expected = starting_point(lineage, level, evidence.mask(evidence.source[level]), dense)
        if manifest["core"]["digests"]["rewind"] != content_digest(expected):
            raise Failed(f"level {level}: digest of the rewind weights is not that of the expected ones")
        if (error := manifest["core"]["rewind_max_abs_err"]) != 0:
            raise Failed(f"level {level}: training began {error} off its rewind weights")
        if "rewind" in manifest["stored"]:
            stored = evidence.stored_weights(manifest, "rewind")
            for name, weights in expected.items():
                kept = mask.get(name, np.ones(weights.shape, np.bool_))
                if not same_bits(stored[name][kept], weights[kept]):
                    raise Failed(f"level {level}: {name} differs from W_{lineage.rewind.step} where it is kept")
                compared += int(np.count_nonzero(kept))
    what = f"{compared} stored weights" if compared else "digests (rewind weights were not kept)"
    return f"{what} of levels 1..{evidence.level} equal W_{lineage.rewind.step}, largest difference 0"


def check_pruned(evidence: Evidence) -> str:
    """Pruned entries of the trained weights are +0.0, bit for bit."""
    final, mask = evidence.final_weights(), evidence.mask(evidence.ticket)
    count = 0
    for name, kept in mask.items():
        pruned = np.ascontiguousarray(final[name][~kept])
        if pruned.view(np.uint32).any():
            raise Failed(f"{name}: {int(np.count_nonzero(pruned.view(np.uint32)))} pruned weights are not +0.0")
        count += pruned.size
    return f"{count} pruned weights are +0.0"
