"""The record of a level: the core that equal bits make equal, the blobs beside it, and the envelope around it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from lth_core import random
from lth_core.canonical import FORMAT, digest_of, sha256_hex
from lth_core.engines.choice import NUMERICS_OF
from lth_core.expansion import WINNING_TICKET, LineageSpec
from lth_core.masks import Mask, is_collapsed, kept_per_layer, pack_mask
from lth_core.starts import level_label
from lth_core.streams import seeds_of
from lth_core.weights import Array, Weights, content_digest, to_safetensors

if TYPE_CHECKING:
    from lth_core.curves import Curves
    from lth_core.level import LevelResult
    from lth_core.normalisation import Normalisation

MASK_MEDIA_TYPE = "application/vnd.lth.mask"
WEIGHTS_MEDIA_TYPE = "application/x-safetensors"
CURVES_MEDIA_TYPE = "application/jsonl"

BlobName = Literal["mask", "next_mask", "rewind", "final", "optimizer", "curves"]
_KEPT: dict[str, tuple[BlobName, ...]] = {
    "masks": ("mask", "next_mask", "curves"),
    "tickets": ("mask", "next_mask", "rewind", "curves"),
    "all": ("mask", "next_mask", "rewind", "final", "optimizer", "curves"),
}


@dataclass(frozen=True)
class Blob:
    """Bytes to be stored under their own digest."""

    data: bytes
    media_type: str

    @property
    def sha256(self) -> str:
        """The blob's name."""
        return sha256_hex(self.data)

    def reference(self) -> dict[str, Any]:
        """Return how a manifest names the blob."""
        return {"sha256": self.sha256, "size_bytes": len(self.data), "media_type": self.media_type}


def level_core(
    lineage: LineageSpec,
    level: int,
    *,
    mask: Mask,
    next_mask: Mask | None,
    rewind: Weights,
    rewind_max_abs_err: float,
    final: Weights,
    curves: Curves,
    normalisation: Normalisation,
    validation_sha256: str,
    optimizer: Mapping[str, Array] | None = None,
) -> dict[str, Any]:
    """Return the core of a level's manifest, without `key`, `parent` and `mask_from`: equal bits, equal core.

    Nothing in it depends on what is kept, on how far the chain is meant to go, or on the search around it. `label`
    stands in it only where the level's output is a trained network and no ticket, and the digest `optimizer` only
    where the dense network's optimizer state was recorded.
    """
    tensors = lineage.tensors()
    kept = kept_per_layer(mask)
    layers = [
        {"name": t.name, "shape": list(t.shape), "kind": t.kind, "kept": kept[t.name], "total": t.size}
        for t in tensors
        if t.prunable
    ]
    is_dense = level == 0 and lineage.treatment == WINNING_TICKET
    num_kept, num_prunable = sum(kept.values()), sum(t.size for t in tensors if t.prunable)
    trained = {"label": "trained"} if level_label(lineage, level) == "trained" else {}
    recorded = {} if optimizer is None else {"optimizer": content_digest(optimizer)}
    return {
        **trained,
        "level": level,
        "treatment": lineage.treatment,
        "replicate": lineage.replicate,
        "repeat": lineage.repeat,
        "lineage": lineage_document(lineage, level),
        "layers": layers,
        "kept": num_kept,
        "prunable": num_prunable,
        "density": num_kept / num_prunable,
        "collapsed": is_collapsed(mask),
        "digests": {
            "mask": sha256_hex(pack_mask(mask, tensors)),
            "next_mask": None if next_mask is None else sha256_hex(pack_mask(next_mask, tensors)),
            "rewind": content_digest(rewind),
            "final": content_digest(final),
            "curves": sha256_hex(curves.to_jsonl()),
            **recorded,
        },
        "metrics": _metrics(curves, lineage),
        "rewind_step": lineage.rewind.step,
        "rewind_max_abs_err": rewind_max_abs_err,
        "count_rule": lineage.prune.count_rule if level else None,
        "scope": lineage.prune.scope if level else None,
        "seeds": seeds_of(lineage, level),
        "rng": random.NAME,
        "numerics": NUMERICS_OF[lineage.dense_trained_by if is_dense else lineage.trained_by],
        "dataset": {
            "name": lineage.dataset_name,
            "digest": lineage.dataset_digest,
            "normalisation": normalisation.document(),
        },
        "validation_sha256": validation_sha256,
        "architecture": [{"name": t.name, "shape": list(t.shape), "kind": t.kind} for t in tensors],
    }


def complete_core(core: Mapping[str, Any], *, key: str, parent: str | None, mask_from: str | None) -> dict[str, Any]:
    """Return a level's core with its place in the record.

    Args:
        core: `LevelResult.core`.
        key: Key under which the level lies: the dense key at level 0, the lineage's key above.
        parent: `core_digest` of the previous level; at level 1 that of the dense level, unless a control has a level
            0 of its own, whose parent the dense level is; None for the dense level itself.
        mask_from: For a control above level 0, `core_digest` of the ticket's level it took its mask from; else None.

    Raises:
        ValueError: If parent or mask_from are there where they must not be, or missing where they must.
    """
    is_control = core["treatment"] != WINNING_TICKET
    if (parent is None) != (core["level"] == 0 and not is_control):
        raise ValueError(f"level {core['level']} has a parent exactly if it is not level 0, got {parent!r}")
    if (mask_from is None) != (core["level"] == 0 or not is_control):
        raise ValueError(f"{core['treatment']} takes its mask from a ticket exactly if it is a control")
    return {**core, "key": key, "parent": parent, "mask_from": mask_from}


def core_digest(core: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a completed core: what the next level names as its parent."""
    return digest_of(core)


def blobs_to_keep(result: LevelResult, lineage: LineageSpec) -> dict[str, Blob]:
    """Return the blobs of a level that `lineage.keep` asks for, and those that later levels start from.

    Level 0 always keeps its weights. A chain whose levels start from trained weights keeps those of every level, and
    so does `reordered`, which exists to be compared by them.
    """
    names = set(_KEPT["all" if result.core["level"] == 0 else lineage.keep])
    if lineage.carries_weights or lineage.treatment == "reordered":
        names.add("final")
    return {name: blob for name in _KEPT["all"] if name in names and (blob := _blob(result, lineage, name)) is not None}


def final_blob(result: LevelResult) -> Blob:
    """Return the weights at the end of a level, for `scratch/` where they are not kept."""
    return Blob(to_safetensors(result.final), WEIGHTS_MEDIA_TYPE)


def build_manifest(
    core: Mapping[str, Any],
    stored: Mapping[str, Mapping[str, Any]],
    *,
    start: Mapping[str, Any],
    epoch: int,
    attempt: int,
    search: str,
    started_at: str,
    committed_at: str,
    fingerprint: Mapping[str, Any],
    engine: str,
    code: str,
    resumed_at: int | None = None,
) -> dict[str, Any]:
    """Put the envelope around a completed core.

    Args:
        core: From `complete_core`.
        stored: References of the blobs that were stored, by name.
        start: Where the training started, from `lth_core.starts`.
        epoch: Fencing token of the leader under which the level was computed.
        attempt: Which try of the lineage it was, from 1.
        search: The search that computed it first.
        started_at: RFC 3339, UTC.
        committed_at: RFC 3339, UTC.
        fingerprint: The environment, from `lth_core.fingerprint`.
        engine: Which engine computed it.
        code: Version or commit of the code.
        resumed_at: Step at which the training went on from a checkpoint, None if it was trained in one go.
    """
    return {
        "format": FORMAT,
        "core": dict(core),
        "core_sha256": core_digest(core),
        "stored": {name: dict(reference) for name, reference in stored.items()},
        "start": dict(start),
        "epoch": epoch,
        "attempt": attempt,
        "search": search,
        "started_at": started_at,
        "committed_at": committed_at,
        "fingerprint": dict(fingerprint),
        "fingerprint_sha256": digest_of(fingerprint),
        "engine": engine,
        "provenance": {"code": code} | ({} if resumed_at is None else {"resumed_at": resumed_at}),
    }


def lineage_document(lineage: LineageSpec, level: int) -> dict[str, Any]:
    """Return a lineage as a manifest records it: defaults left out, and only what entered this level's bits.

    Never `levels` and `keep`; at the dense level 0 neither pruning nor treatment, which share the dense network.
    Threads stand in it on a CPU only, where they change the bits.
    """
    document: dict[str, Any] = {
        "model": lineage.model.canonical(),
        "dataset_name": lineage.dataset_name,
        "dataset_digest": lineage.dataset_digest,
        "in_shape": list(lineage.in_shape),
        "num_classes": lineage.num_classes,
        "train": lineage.train.canonical(),
        "prune": {},
        "rewind": lineage.recorded_point(),
        "replicate": lineage.replicate,
        "device_class": lineage.device_class,
    }
    if lineage.device_class == "cpu":
        document["threads"] = lineage.threads
    if lineage.engine != "auto":
        document["engine"] = lineage.engine
    if lineage.origin is not None:
        document["origin"] = lineage.origin.canonical()
    if level or lineage.treatment != WINNING_TICKET:
        prune = lineage.prune.canonical()
        prune.pop("levels", None)
        document.update(prune=prune, rewind=lineage.rewind.canonical())
        document.update(treatment=lineage.treatment, repeat=lineage.repeat)
        if lineage.method != "imp":
            document["method"] = lineage.method
    return document


def lineage_of(core: Mapping[str, Any]) -> LineageSpec:
    """Return the lineage a core was computed for; its `levels` and `keep` are the defaults.

    Raises:
        ValueError: If the core's lineage is not valid.
    """
    return LineageSpec.model_validate(core["lineage"])


def _blob(result: LevelResult, lineage: LineageSpec, name: BlobName) -> Blob | None:
    if name == "curves":
        return Blob(result.curves, CURVES_MEDIA_TYPE)
    if name == "rewind" or name == "final":
        return Blob(to_safetensors(result.rewind if name == "rewind" else result.final), WEIGHTS_MEDIA_TYPE)
    if name == "optimizer":
        return None if result.optimizer is None else Blob(to_safetensors(result.optimizer), WEIGHTS_MEDIA_TYPE)
    mask = result.mask if name == "mask" else result.next_mask
    return None if mask is None else Blob(pack_mask(mask, lineage.tensors()), MASK_MEDIA_TYPE)


def _metrics(curves: Curves, lineage: LineageSpec) -> dict[str, Any]:
    """Return the figures of a level: at the early-stopping step, at the start and at the end."""
    start, best, end = curves.start, curves.early_stop, curves.end
    assert start.test is not None
    assert best.test is not None
    assert end.test is not None
    assert end.train is not None
    return {
        "early_stop_step": best.step,
        "converged": curves.converged,
        "val_loss": best.validation.loss,
        "val_accuracy": best.validation.accuracy,
        "test_loss": best.test.loss,
        "test_accuracy": best.test.accuracy,
        "start_test_loss": start.test.loss,
        "start_test_accuracy": start.test.accuracy,
        "end_test_loss": end.test.loss,
        "end_test_accuracy": end.test.accuracy,
        "end_val_loss": end.validation.loss,
        "end_val_accuracy": end.validation.accuracy,
        "end_train_loss": end.train.loss,
        "end_train_accuracy": end.train.accuracy,
        "steps": lineage.train.steps,
    }
