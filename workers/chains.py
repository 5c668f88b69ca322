"""Whether committed levels form a chain: each names the one before it by digest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lth_core import inputs
from lth_core.expansion import PlannedLineage
from lth_core.manifest import core_digest

Manifest = Mapping[str, Any]
Manifests = Mapping[str, Mapping[int, Manifest]]
"""Manifests by key and level."""


class BrokenChain(Exception):  # noqa: N818 - it names a state of the record
    """A committed level does not follow from the one before it."""


def committed(plan: PlannedLineage, manifests: Manifests) -> list[Manifest]:
    """Return a lineage's committed levels from its first one on, without a gap, after checking the chain.

    Raises:
        BrokenChain: If a digest is wrong, or a level names another parent than the one that stands.
    """
    found: list[Manifest] = []
    for level in range(plan.first_level, plan.first_level + plan.num_levels):
        manifest = manifests.get(plan.key_of_level(level), {}).get(level)
        if manifest is None:
            break
        check(plan, level, manifest, manifests)
        found.append(manifest)
    return found


def check(plan: PlannedLineage, level: int, manifest: Manifest, manifests: Manifests) -> None:
    """Check one committed level against its parent.

    Raises:
        BrokenChain: If it does not fit.
    """
    core = manifest["core"]
    if core_digest(core) != manifest["core_sha256"]:
        raise BrokenChain(f"level {level} of {plan.key} does not have the digest it names")
    parent = parent_of(plan, level, manifests)
    if core["parent"] != parent:
        raise BrokenChain(f"level {level} of {plan.key} follows {core['parent']}, but {parent} stands")


def parent_of(plan: PlannedLineage, level: int, manifests: Manifests) -> str | None:
    """Digest of the core that a level must name as its parent; None for the dense level.

    Raises:
        BrokenChain: If the parent is not committed.
    """
    place = inputs.parent_of(plan, level)
    if place is None:
        return None
    key, before = place
    manifest = manifests.get(key, {}).get(before)
    if manifest is None:
        raise BrokenChain(f"level {level} of {plan.key} stands without level {before} of {key}")
    return str(manifest["core_sha256"])
