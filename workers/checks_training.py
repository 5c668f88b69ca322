"""Checks of a ticket's figures: out of its curves, by evaluating its weights again, and by training it again."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from lth_core.canonical import digest_of
from lth_core.controls import starting_point
from lth_core.data import TensorData, load, split
from lth_core.determinism import pin
from lth_core.evaluation import Score, evaluate
from lth_core.expansion import DatasetInfo
from lth_core.fingerprint import fingerprint
from lth_core.level import LevelTask, train_level
from lth_core.manifest import complete_core, core_digest
from lth_core.models import FlatNetwork
from lth_core.weights import Weights, content_digest
from workers.evidence import Evidence
from workers.report import Failed, Skipped

_ROWS = {"": "best", "start_": "start", "end_": "end"}


def check_curves(evidence: Evidence) -> str:
    """The figures in the manifest are those of the curves: at the start, at the lowest validation loss, at the end."""
    core = evidence.ticket["core"]
    lines = evidence.blobs.read(core["digests"]["curves"]).decode().splitlines()
    rows = [json.loads(line) for line in lines]
    best = min(rows[1:], key=lambda row: (row["val_loss"], row["step"]))
    places = {"best": best, "start": rows[0], "end": rows[-1]}
    metrics = core["metrics"]
    if metrics["early_stop_step"] != best["step"]:
        raise Failed(f"early_stop_step is {metrics['early_stop_step']}, the curves say {best['step']}")
    if metrics["converged"] != (best["step"] != rows[-1]["step"]):
        raise Failed(f"converged is {metrics['converged']}, but the lowest validation loss is at {best['step']}")
    for name, value in metrics.items():
        prefix = next(p for p in ("start_", "end_", "") if name.startswith(p))
        column = name.removeprefix(prefix)
        if column in best and column != "step" and places[_ROWS[prefix]][column] != value:
            raise Failed(f"{name} is {value}, the curves say {places[_ROWS[prefix]][column]}")
    return f"{len(rows)} points, lowest validation loss at step {best['step']}"


def check_start_accuracy(evidence: Evidence) -> str:
    """Mask and rewind weights, evaluated again, give the figures recorded before the first step."""
    data = _tensor_data(evidence)
    mask, rewind = starting_point(
        evidence.lineage, evidence.level, evidence.mask(evidence.source[-1]), evidence.dense_rewind()
    )
    masked = {
        name: np.where(mask[name], weights, np.float32(0)) if name in mask else weights
        for name, weights in rewind.items()
    }
    return _compare(evidence, "start", {"test": _evaluate(evidence, masked, data, "test")})


def check_end_accuracy(evidence: Evidence) -> str:
    """The trained weights, evaluated again, give the figures recorded at the end of training."""
    final = evidence.final_weights()
    data = _tensor_data(evidence)
    return _compare(evidence, "end", {part: _evaluate(evidence, final, data, part) for part in ("val", "test")})


def check_retrain(evidence: Evidence) -> str:
    """The level, trained again, gives the same bits in the same environment, and the same accuracy in another."""
    data = _tensor_data(evidence)
    source = evidence.mask(evidence.source[-1])
    task = LevelTask(evidence.lineage, evidence.level, source, evidence.dense_rewind())
    result = train_level(task, data)
    recorded = evidence.ticket["core"]
    places = {name: recorded[name] for name in ("key", "parent", "mask_from")}
    if core_digest(complete_core(result.core, **places)) == core_digest(recorded):
        return f"equal bits after {recorded['metrics']['steps']} steps, final {content_digest(result.final)[:12]}"
    if _same_environment(evidence):
        differing = [name for name, value in result.core.items() if recorded[name] != value]
        raise Failed(f"trained again in the same environment, these differ: {', '.join(differing)}")
    again, then = result.core["metrics"]["test_accuracy"], recorded["metrics"]["test_accuracy"]
    if abs(again - then) > evidence.margin:
        raise Failed(f"test accuracy {again:.4f} instead of {then:.4f}, allowed is {evidence.margin}")
    return f"another environment: test accuracy {again:.4f} instead of {then:.4f}, within {evidence.margin}"


def _tensor_data(evidence: Evidence) -> TensorData:
    """Return the data set on the device for which the lineage is defined, with its threads pinned."""
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
    return load(info, arrays, device=lineage.device_class)


def _evaluate(evidence: Evidence, weights: Weights, data: TensorData, part: str) -> Score:
    lineage = evidence.lineage
    net = FlatNetwork(lineage.model, lineage.in_shape, lineage.num_classes, data.device)
    net.load(weights)
    if part == "test":
        return evaluate(net.network, data.test_images, data.test_labels)
    chosen = torch.from_numpy(split(data.info.num_train, lineage.replicate).validation).to(data.device)
    return evaluate(net.network, data.train_images.index_select(0, chosen), data.train_labels.index_select(0, chosen))


def _compare(evidence: Evidence, place: str, scores: Mapping[str, Score]) -> str:
    """Compare scores with the manifest's figures: exactly in the same environment, else accuracies within margin."""
    metrics: dict[str, Any] = evidence.ticket["core"]["metrics"]
    exact = _same_environment(evidence)
    for part, score in scores.items():
        recorded = Score(metrics[f"{place}_{part}_loss"], metrics[f"{place}_{part}_accuracy"])
        off = abs(score.accuracy - recorded.accuracy)
        if (exact and score != recorded) or off > evidence.margin:
            raise Failed(f"{place}, {part}: {score}, recorded is {recorded}")
    accuracy = scores["test"].accuracy
    how = "exactly as recorded" if exact else f"within {evidence.margin} of the record of another environment"
    return f"test accuracy {accuracy:.4f}, {how}"


def _same_environment(evidence: Evidence) -> bool:
    here = fingerprint(evidence.lineage.device_class, os.environ)
    return bool(digest_of(here) == evidence.ticket["fingerprint_sha256"])
