"""A verification's levels as tasks: what each started from, out of the stored bytes, and the data to train it on."""

from __future__ import annotations

import os
from typing import Any

import torch

from lth_core.beginning import Beginning, beginning
from lth_core.canonical import digest_of
from lth_core.data import TensorData, load
from lth_core.determinism import pin
from lth_core.expansion import DatasetInfo
from lth_core.fingerprint import fingerprint
from lth_core.inputs import inputs_of
from lth_core.level_task import LevelTask, task_of
from lth_core.names import AT_INIT
from lth_core.weights import content_digest
from workers.evidence import Evidence, Manifest
from workers.report import Failed, Skipped


def task_at(evidence: Evidence, level: int, *, mask_given: bool = False) -> LevelTask:
    """Return the task of one of the lineage's levels.

    Args:
        evidence: What was read.
        level: Which level.
        mask_given: Whether a chain is given the recorded mask, instead of finding its own again.

    Raises:
        Skipped: If weights that it started from were not kept.
        Failed: If stored bytes are not those of their manifest.
    """
    plan = evidence.plan
    given: dict[str, Any] = {"origin": evidence.origin()}
    for name, place in inputs_of(plan, level).items():
        manifest = evidence.manifest_at(place.key, place.level)
        if name == "mask":
            given[name] = evidence.mask(evidence.source[level])
        elif name == "optimizer":
            given[name] = evidence.optimizer_state()
        else:
            given[name] = evidence.stored_weights(manifest, place.blob)
    if mask_given and level > 0:
        given["mask"] = evidence.mask(evidence.source[level])
    return task_of(evidence.lineage, level, **given)


def start_at(evidence: Evidence, level: int) -> Beginning:
    """Return where a level began: mask, weights, and what stands in pruned places.

    Raises:
        Skipped: If it follows from data or weights that cannot be had.
    """
    lineage = evidence.lineage
    looks_at_data = lineage.treatment == "invert_scores" and lineage.method in AT_INIT
    return beginning(task_at(evidence, level, mask_given=True), tensor_data(evidence) if looks_at_data else None)


def tensor_data(evidence: Evidence) -> TensorData:
    """Return the data set on the device for which the lineage is defined, with its threads pinned.

    Raises:
        Skipped: If data set or device cannot be had.
        Failed: If the data set is not the one that the lineage names.
    """
    if isinstance(evidence.data, str):
        raise Skipped(evidence.data)
    lineage = evidence.lineage
    if lineage.device_class == "cuda" and not torch.cuda.is_available():
        raise Skipped("the lineage was trained on cuda, and there is none here")
    arrays = evidence.data
    info = DatasetInfo(
        name=lineage.dataset_name,
        digest=lineage.dataset_digest,
        shape=lineage.in_shape,
        num_classes=lineage.num_classes,
        num_train=len(arrays["train_labels"]),
        num_test=len(arrays["test_labels"]),
    )
    if content_digest(arrays) != info.digest:
        raise Failed(f"data set {info.name} does not have its digest {info.digest[:12]}")
    pin(lineage.threads)
    return load(info, arrays, device=lineage.device_class, normalisation=lineage.normalisation)


def same_environment(evidence: Evidence, manifest: Manifest) -> bool:
    """Tell whether a level was computed in an environment like this one, so that its bits can be compared."""
    here = fingerprint(evidence.lineage.device_class, os.environ, engine=manifest["engine"])
    return bool(digest_of(here) == manifest["fingerprint_sha256"])
