"""A committed level in short: what lists, tickets and progress need of a manifest, without its architecture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lth_core.canonical import FORMAT
from service.store.errors import UnknownFormat

Summary = Mapping[str, Any]
Levels = Mapping[str, Mapping[int, Summary]]
"""Summaries by key and level."""

METRICS = ("early_stop_step", "converged", "val_accuracy", "test_accuracy", "end_test_accuracy")


def summarise(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Cut a manifest down to its summary.

    Raises:
        UnknownFormat: If a later version wrote the manifest.
    """
    check_format(manifest)
    core, stored = manifest["core"], manifest["stored"]
    metrics = core["metrics"]
    return {
        "level": core["level"],
        "search": manifest["search"],
        "committed_at": manifest["committed_at"],
        "core_sha256": manifest["core_sha256"],
        "density": core["density"],
        "kept": core["kept"],
        "prunable": core["prunable"],
        "collapsed": core["collapsed"],
        "rewind_step": core["rewind_step"],
        "mask_sha256": core["digests"]["mask"],
        "mask_bytes": (core["prunable"] + 7) // 8,
        "rewind_sha256": stored["rewind"]["sha256"] if stored.get("rewind") else None,
        "final_sha256": stored["final"]["sha256"] if stored.get("final") else None,
        "metrics": {name: metrics.get(name) for name in METRICS},
    }


def check_format(manifest: Mapping[str, Any]) -> None:
    """Refuse a manifest of another format.

    Raises:
        UnknownFormat: If a later version wrote it.
    """
    if manifest.get("format") != FORMAT:
        raise UnknownFormat(f"manifest has format {manifest.get('format')!r}, known is {FORMAT}")
