"""Checks of a ticket's figures: out of its curves, by evaluating its weights again, and by training it again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from lth_core.cells import gradual_end_step
from lth_core.data import TensorData
from lth_core.engines.scoring import score_weights
from lth_core.engines.starting import or_reference
from lth_core.evaluation import Score
from lth_core.expansion import WINNING_TICKET
from lth_core.level import train_level
from lth_core.manifest import complete_core, core_digest
from lth_core.masks import Mask
from lth_core.measuring import Part
from lth_core.weights import Weights, content_digest
from workers.evidence import Evidence
from workers.evidence_tasks import same_environment, start_at, task_at, tensor_data
from workers.report import Failed

_ROWS = {"": "best", "start_": "start", "end_": "end"}


def check_curves(evidence: Evidence) -> str:
    """The figures in the manifest are those of the curves: at the start, at the lowest validation loss, at the end."""
    core = evidence.ticket["core"]
    lines = evidence.blobs.read(core["digests"]["curves"]).decode().splitlines()
    rows = [json.loads(line) for line in lines]
    best = min(_candidates(evidence, rows), key=lambda row: (row["val_loss"], row["step"]))
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


def _candidates(evidence: Evidence, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the points that early stop chooses from: after the start, and where a mask tightens, after its end."""
    lineage = evidence.lineage
    if lineage.method != "gradual" or lineage.treatment not in (WINNING_TICKET, "identity"):
        return rows[1:]
    return [row for row in rows[1:] if row["step"] >= gradual_end_step(lineage.train, lineage.prune)]


def check_start_accuracy(evidence: Evidence) -> str:
    """The weights that training began with, evaluated again, give the figures recorded before the first step."""
    data = tensor_data(evidence)
    begin = start_at(evidence, evidence.level)
    kept = None if begin.held else begin.mask
    mask = {} if kept is None else kept
    masked = {
        name: np.where(mask[name], weights, np.float32(0)) if name in mask else weights
        for name, weights in begin.weights.items()
    }
    return _compare(evidence, "start", {"test": _evaluate(evidence, masked, kept, data, "test")})


def check_end_accuracy(evidence: Evidence) -> str:
    """The trained weights, evaluated again, give the figures recorded at the end of training."""
    final = evidence.final_weights()
    data = tensor_data(evidence)
    kept = None if start_at(evidence, evidence.level).held else evidence.mask(evidence.ticket)
    parts: dict[str, Part] = {"val": "validation", "test": "test"}
    scores = {name: _evaluate(evidence, final, kept, data, part) for name, part in parts.items()}
    return _compare(evidence, "end", scores)


def check_retrain(evidence: Evidence) -> str:
    """The level, trained again, gives the same bits in the same environment, and the same accuracy in another."""
    data = tensor_data(evidence)
    result = train_level(task_at(evidence, evidence.level), data, engine=or_reference(evidence.ticket["engine"]))
    recorded = evidence.ticket["core"]
    places = {name: recorded[name] for name in ("key", "parent", "mask_from")}
    if core_digest(complete_core(result.core, **places)) == core_digest(recorded):
        return f"equal bits after {recorded['metrics']['steps']} steps, final {content_digest(result.final)[:12]}"
    if same_environment(evidence, evidence.ticket):
        differing = [name for name, value in result.core.items() if recorded[name] != value]
        raise Failed(f"trained again in the same environment, these differ: {', '.join(differing)}")
    again, then = result.core["metrics"]["test_accuracy"], recorded["metrics"]["test_accuracy"]
    if abs(again - then) > evidence.margin:
        raise Failed(f"test accuracy {again:.4f} instead of {then:.4f}, allowed is {evidence.margin}")
    return f"another environment: test accuracy {again:.4f} instead of {then:.4f}, within {evidence.margin}"


def _evaluate(evidence: Evidence, weights: Weights, mask: Mask | None, data: TensorData, part: Part) -> Score:
    engine = or_reference(evidence.ticket["engine"])
    return score_weights(evidence.lineage, weights, mask, data, part, engine)


def _compare(evidence: Evidence, place: str, scores: Mapping[str, Score]) -> str:
    """Compare scores with the manifest's figures: exactly in the same environment, else accuracies within margin."""
    metrics: dict[str, Any] = evidence.ticket["core"]["metrics"]
    exact = same_environment(evidence, evidence.ticket)
    for part, score in scores.items():
        recorded = Score(metrics[f"{place}_{part}_loss"], metrics[f"{place}_{part}_accuracy"])
        off = abs(score.accuracy - recorded.accuracy)
        if (exact and score != recorded) or off > evidence.margin:
            raise Failed(f"{place}, {part}: {score}, recorded is {recorded}")
    accuracy = scores["test"].accuracy
    how = "exactly as recorded" if exact else f"within {evidence.margin} of the record of another environment"
    return f"test accuracy {accuracy:.4f}, {how}"
