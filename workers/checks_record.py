"""Checks of a ticket's record: manifests, digests, counts and nesting, all recomputed from stored bytes."""

from __future__ import annotations

import numpy as np

from lth_core.canonical import FORMAT, sha256_hex
from lth_core.expansion import PlannedLineage
from lth_core.keys import dense_key, lineage_key
from lth_core.manifest import core_digest, lineage_document
from lth_core.masks import is_collapsed, kept_per_layer
from lth_core.starts import level_label
from lth_core.targets import kept_at
from lth_core.transfer import transferred_mask
from workers.evidence import Evidence, Manifest
from workers.report import Failed


def check_manifests(evidence: Evidence) -> str:
    """Every manifest has its own digest, names its predecessor, and lies under the key of what it computed."""
    if lineage_key(evidence.tenant, evidence.lineage) != evidence.key:
        raise Failed("the lineage in the manifest does not have the key under which it is stored")
    if dense_key(evidence.tenant, evidence.lineage) != evidence.dense_key:
        raise Failed("the dense lineage in the manifest does not have the key under which it is stored")
    for name, manifest in evidence.manifests():
        if manifest["format"] != FORMAT:
            raise Failed(f"{name}: format {manifest['format']!r}, known is {FORMAT}")
        if core_digest(manifest["core"]) != manifest["core_sha256"]:
            raise Failed(f"{name}: the core does not have its digest {manifest['core_sha256'][:12]}")
    _check_links("", evidence.plan, evidence.chain, evidence)
    if evidence.is_control:
        _check_links(" of the ticket's chain", evidence.chain_plan, evidence.source, evidence)
    _check_lineage(evidence)
    return f"levels 0..{evidence.level} lead back to the dense network"


def _check_links(where: str, plan: PlannedLineage, chain: tuple[Manifest, ...], evidence: Evidence) -> None:
    for level, manifest in enumerate(chain):
        core = manifest["core"]
        key = plan.key_of_level(level)
        before = chain[level - 1] if level else evidence.source[0]
        takes_mask = plan.source_key is not None and level > 0
        expected = {
            "level": level,
            "key": key,
            "parent": None if key == evidence.dense_key else core_digest(before["core"]),
            "mask_from": core_digest(evidence.source[level]["core"]) if takes_mask else None,
        }
        for field, value in expected.items():
            if core[field] != value:
                raise Failed(f"level {level}{where}: {field} is {core[field]!r}, expected {value!r}")


def _check_lineage(evidence: Evidence) -> None:
    """Every level of both chains was computed for the ticket's lineage, but for the control's treatment."""
    for plan, chain in ((evidence.plan, evidence.chain), (evidence.chain_plan, evidence.source)):
        owner = plan.spec
        for level, manifest in enumerate(chain):
            core = manifest["core"]
            is_dense = plan.key_of_level(level) == evidence.dense_key
            made_for = evidence.chain_plan.spec if is_dense else owner
            if core["lineage"] != lineage_document(made_for, level):
                raise Failed(f"level {level}: computed for another lineage than level {evidence.level}")
            names = (core["treatment"], core["replicate"], core["repeat"])
            if not is_dense and names != (owner.treatment, owner.replicate, owner.repeat):
                raise Failed(f"level {level}: treatment, replicate and repeat {names} are not those of its lineage")
            label = {"label": "trained"} if level_label(made_for, level) == "trained" else {}
            if label != {name: core[name] for name in ("label",) if name in core}:
                raise Failed(f"level {level}: labelled {core.get('label')!r}, expected {label.get('label')!r}")


def check_digests(evidence: Evidence) -> str:
    """Every stored blob has its digest and size, and is the one that the manifest's core names."""
    count = 0
    for name, manifest in evidence.manifests():
        core, stored = manifest["core"], manifest["stored"]
        for part in ("mask", "curves"):
            if part not in stored:
                raise Failed(f"{name}: no {part} is stored")
        for part, reference in stored.items():
            sha256 = reference["sha256"]
            if sha256 in evidence.blobs.damage:
                raise Failed(f"{name}: {part} {sha256[:12]}: {evidence.blobs.damage[sha256]}")
            content = evidence.blobs.contents[sha256]
            if len(content) != reference["size_bytes"] or sha256_hex(content) != sha256:
                raise Failed(f"{name}: {part} {sha256[:12]} has other bytes than the manifest says")
            if part in ("rewind", "final"):
                evidence.stored_weights(manifest, part)
            elif part == "optimizer":
                evidence.optimizer_state()
            elif core["digests"][part] != sha256:
                raise Failed(f"{name}: {part} is not the one that its core names")
            count += 1
    return f"{count} blobs of levels 0..{evidence.level}"


def check_counts(evidence: Evidence) -> str:
    """Kept weights of each layer, their sum, the density and the collapse are those of the mask's own bits."""
    for name, manifest in evidence.manifests():
        core = manifest["core"]
        mask = evidence.mask(manifest)
        kept = kept_per_layer(mask)
        prunable = sum(array.size for array in mask.values())
        found = {
            "layers": [
                {"name": t.name, "shape": list(t.shape), "kind": t.kind, "kept": kept[t.name], "total": t.size}
                for t in evidence.tensors
                if t.prunable
            ],
            "kept": sum(kept.values()),
            "prunable": prunable,
            "density": sum(kept.values()) / prunable,
            "collapsed": is_collapsed(mask),
        }
        for field, value in found.items():
            if core[field] != value:
                raise Failed(f"{name}: {field} is {core[field]!r}, the mask has {value!r}")
    core = evidence.ticket["core"]
    return f"{core['kept']} of {core['prunable']} weights, density {core['density']:.6f}"


def check_count_rule(evidence: Evidence) -> str:
    """Each level keeps exactly as many weights as method and rule say; a control has its ticket's counts."""
    lineage = evidence.lineage
    for level in range(1, len(evidence.source)):
        mask = evidence.mask(evidence.source[level])
        for names, expected in _expected_counts(evidence, level):
            found = sum(int(np.count_nonzero(mask[name])) for name in names)
            if found != expected:
                raise Failed(f"level {level}: {', '.join(names)} keep {found}, the rule says {expected}")
    if evidence.is_control:
        for level in range(1, len(evidence.chain)):
            own, theirs = (kept_per_layer(evidence.mask(c[level])) for c in (evidence.chain, evidence.source))
            if own != theirs:
                raise Failed(f"level {level}: the control keeps {own}, its ticket {theirs}")
    if lineage.method == "transfer":
        return f"as many as the transferred ticket keeps, levels 1..{evidence.level}"
    prune = lineage.prune
    if prune.densities:
        return f"densities {list(prune.densities[: evidence.level])} per {prune.scope}, levels 1..{evidence.level}"
    return f"{prune.count_rule} of {prune.fraction} per {prune.scope}, levels 1..{evidence.level}"


def _expected_counts(evidence: Evidence, level: int) -> list[tuple[tuple[str, ...], int]]:
    origin = evidence.origin()
    if origin is not None and evidence.lineage.origin is not None:
        mask = transferred_mask(evidence.lineage, evidence.lineage.origin, origin.mask)
        return [((name,), kept) for name, kept in kept_per_layer(mask).items()]
    return kept_at(evidence.tensors, evidence.lineage.prune, evidence.lineage.method, level)


def check_nesting(evidence: Evidence) -> str:
    """Level 0 keeps everything; where masks follow from one another or from one ranking, each holds the next one.

    Methods that find every mask anew (gradual pruning, SynFlow) promise no nesting, and a count per layer that grows
    from level to level, as rounding may make it, breaks none.
    """
    masks = [evidence.mask(manifest) for manifest in evidence.source]
    for chain in (evidence.chain, evidence.source):
        if not all(array.all() for array in evidence.mask(chain[0]).values()):
            raise Failed("level 0 is not dense")
    method = evidence.lineage.method
    if method in ("gradual", "synflow"):
        return f"level 0 is dense; masks of {method} are found anew at every level"
    for level in range(1, len(masks)):
        for name, array in masks[level].items():
            before = masks[level - 1][name]
            falls = method == "imp" or np.count_nonzero(array) <= np.count_nonzero(before)
            if falls and (array & ~before).any():
                raise Failed(f"level {level}: {name} keeps weights that level {level - 1} had removed")
        handed_on = evidence.source[level - 1]["core"]["digests"]["next_mask"]
        if method == "imp" and level > 1 and handed_on != evidence.source[level]["core"]["digests"]["mask"]:
            raise Failed(f"level {level}: its mask is not the one that level {level - 1} handed on")
    return f"levels 0..{evidence.level}" + (" of the ticket's chain" if evidence.is_control else "")
