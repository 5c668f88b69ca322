"""The figures of a report as one table: a row per setting, level and treatment."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from typing import Any

FIGURES = ("test_accuracy", "end_test_accuracy", "early_stop_step", "val_accuracy", "end_val_accuracy")
HEAD = ("setting", "cell", "level", "density", "kept", "prunable", "treatment", "n", "num_converged")
PAIRED = (
    "lead_accuracy",
    "lead_accuracy_lower",
    "lead_accuracy_upper",
    "early_stop_ratio",
    "early_stop_ratio_lower",
    "early_stop_ratio_upper",
    "sign_p",
)
JUDGED = ("p", "p_holm", "verdicts")


def table_csv(document: Mapping[str, Any]) -> str:
    """Return the table.

    `lead_accuracy` is the main treatment's mean paired difference to the row's treatment, `early_stop_ratio` the
    geometric mean of its paired step ratios, each with its one-sided bounds; `verdicts` is a JSON object and stands,
    with p and p_holm, in the row of the main treatment.
    """
    text = io.StringIO()
    spreads = [f"{figure}_{part}" for figure in FIGURES for part in ("mean", "min", "max")]
    writer = csv.DictWriter(text, [*HEAD, *spreads, *PAIRED, *JUDGED], lineterminator="\r\n")
    writer.writeheader()
    mains = {setting["setting"]: setting["main_treatment"] for setting in document["settings"]}
    for level in document["levels"]:
        writer.writerows(_rows(level, mains[level["setting"]]))
    return text.getvalue()


def _rows(level: Mapping[str, Any], main: str) -> Iterator[dict[str, Any]]:
    for name, figures in level["treatments"].items():
        row = {
            **{field: level[field] for field in ("setting", "level", "density", "kept", "prunable")},
            "cell": json.dumps(level["cell"], sort_keys=True),
            "treatment": name,
            "n": figures["n"],
            "num_converged": figures["num_converged"],
        }
        for figure in FIGURES:
            row.update({f"{figure}_{part}": figures[figure][part] for part in ("mean", "min", "max")})
        yield {**row, **_paired(level["paired"].get(name)), **(_judged(level) if name == main else {})}
    if "dense" in level["paired"]:
        yield from _against_dense(level)


def _paired(found: Mapping[str, Any] | None) -> dict[str, Any]:
    if found is None:
        return {}
    accuracy, speed = found["accuracy_difference"], found["early_stop_ratio"] or {}
    return {
        "lead_accuracy": accuracy["mean"],
        "lead_accuracy_lower": accuracy["lower"],
        "lead_accuracy_upper": accuracy["upper"],
        "early_stop_ratio": speed.get("mean"),
        "early_stop_ratio_lower": speed.get("lower"),
        "early_stop_ratio_upper": speed.get("upper"),
        "sign_p": found["sign_p"],
    }


def _judged(level: Mapping[str, Any]) -> dict[str, Any]:
    verdicts = json.dumps(level["verdicts"], sort_keys=True) if level["verdicts"] else None
    return {"p": level.get("p"), "p_holm": level.get("p_holm"), "verdicts": verdicts}


def _against_dense(level: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the comparison with the dense network, which has no training of its own at this level."""
    yield {
        **{field: level[field] for field in ("setting", "level", "density", "kept", "prunable")},
        "cell": json.dumps(level["cell"], sort_keys=True),
        "treatment": "dense (of level 0)",
        "n": level["paired"]["dense"]["accuracy_difference"]["n"],
        **_paired(level["paired"]["dense"]),
    }
