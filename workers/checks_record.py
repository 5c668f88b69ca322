"""Checks of a ticket's record: manifests, digests, counts and nesting, all recomputed from stored bytes."""

from __future__ import annotations

import numpy as np

from lth_core.canonical import FORMAT, sha256_hex
from lth_core.expansion import WINNING_TICKET
from lth_core.keys import dense_key, lineage_key
from lth_core.manifest import core_digest, lineage_document
from lth_core.masks import is_collapsed, kept_per_layer
from lth_core.pruning import expected_kept
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
    _check_links("", evidence.chain, evidence.key, evidence)
    if evidence.is_control:
        _check_links(" of the ticket's chain", evidence.source, evidence.source_key, evidence)
    _check_lineage(evidence)
    return f"levels 0..{evidence.level} lead back to the dense network"


def _check_links(where: str, chain: tuple[Manifest, ...], key: str, evidence: Evidence) -> None:
    is_source = key == evidence.source_key
    for level, manifest in enumerate(chain):
        core = manifest["core"]
        expected = {
            "level": level,
            "key": key if level else evidence.dense_key,
            "parent": core_digest(chain[level - 1]["core"]) if level else None,
            "mask_from": None if is_source or not level else core_digest(evidence.source[level]["core"]),
        }
        for field, value in expected.items():
            if core[field] != value:
                raise Failed(f"level {level}{where}: {field} is {core[field]!r}, expected {value!r}")


def _check_lineage(evidence: Evidence) -> None:
    """Every level of both chains was computed for the ticket's lineage, but for the control's treatment."""
    lineage = evidence.lineage
    found_by = lineage.model_copy(update={"treatment": WINNING_TICKET, "repeat": 0})
    for owner, chain in ((lineage, evidence.chain), (found_by, evidence.source)):
        for level, manifest in enumerate(chain):
            core = manifest["core"]
            if core["lineage"] != lineage_document(owner, level):
                raise Failed(f"level {level}: computed for another lineage than level {evidence.level}")
            names = (core["treatment"], core["replicate"], core["repeat"])
            if level and names != (owner.treatment, owner.replicate, owner.repeat):
                raise Failed(f"level {level}: treatment, replicate and repeat {names} are not those of its lineage")


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
    """Each pruning removed exactly as many weights as the rule says; a control has its ticket's counts."""
    prune = evidence.lineage.prune
    for level in range(1, len(evidence.source)):
        before, after = evidence.mask(evidence.source[level - 1]), evidence.mask(evidence.source[level])
        for names, expected in expected_kept(evidence.tensors, prune, before):
            found = sum(int(np.count_nonzero(after[name])) for name in names)
            if found != expected:
                raise Failed(f"level {level}: {', '.join(names)} keep {found}, the rule says {expected}")
    if evidence.is_control:
        for level in range(1, len(evidence.chain)):
            own, theirs = (kept_per_layer(evidence.mask(c[level])) for c in (evidence.chain, evidence.source))
            if own != theirs:
                raise Failed(f"level {level}: the control keeps {own}, its ticket {theirs}")
    return f"{prune.count_rule} of {prune.fraction} per {prune.scope}, levels 1..{evidence.level}"


def check_nesting(evidence: Evidence) -> str:
    """Level 0 keeps everything; each level's survivors survived all levels before; masks are those handed on."""
    masks = [evidence.mask(manifest) for manifest in evidence.source]
    if not all(array.all() for array in masks[0].values()):
        raise Failed("level 0 is not dense")
    for level in range(1, len(masks)):
        for name, array in masks[level].items():
            if (array & ~masks[level - 1][name]).any():
                raise Failed(f"level {level}: {name} keeps weights that level {level - 1} had removed")
        handed_on = evidence.source[level - 1]["core"]["digests"]["next_mask"]
        if level > 1 and handed_on != evidence.source[level]["core"]["digests"]["mask"]:
            raise Failed(f"level {level}: its mask is not the one that level {level - 1} handed on")
    return f"levels 0..{evidence.level}" + (" of the ticket's chain" if evidence.is_control else "")
