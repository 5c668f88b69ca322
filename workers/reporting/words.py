"""The words and numbers of a report: what things are called, and how figures are written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lth_core.expansion import WINNING_TICKET
from lth_core.labels import Label

DENSE = "dense"
TRAINED_NETWORK = "trained_network"
"""The name of the main treatment where its outputs are no tickets."""

LABELS: dict[Label, str] = {
    "winning": "A ticket here is a mask with the initialisation W_0, trained from step 0; one that is certified is a "
    "winning ticket.",
    "matching": "A ticket here is a mask with the weights of step {step} of the dense training; one that is certified "
    "is a matching subnetwork of that step, and no ticket at initialisation.",
    "trained": "The outputs here are trained sparse networks: their weights were trained on under earlier masks, so "
    "that no level is a ticket at initialisation, however accurate it is.",
}
OUTPUTS: dict[Label, str] = {
    "winning": "winning ticket",
    "matching": "matching subnetwork",
    "trained": "trained sparse network",
}
VERDICTS = {
    "paper_point": "means not worse than dense",
    "certified": "certified",
    "matching": "matching",
    "trained_matches": "as accurate as dense",
    "initialisation_matters": "initialisation matters",
    "mask_matters": "mask matters",
    "lost": "lost",
    "not_converged": "not converged",
}
ENDS = {
    "nonfinite": "training diverged: a loss or a weight was not finite",
    "divergence": "a level was computed again to other bits",
    "upstream": "the chain it takes its masks from ended",
    "collapsed": "a layer lost its last weight",
    "poison": "the same level failed again and again",
    "resource": "out of memory",
    "deadline_exceeded": "the search's deadline passed",
    "budget_exhausted": "the search's budget was spent",
}
BOUNDS = (
    "Bounds are one-sided at {confidence:g} % each, by Student's t over replicates paired by seed, per level and "
    "unadjusted for the number of levels. p-values adjusted by Holm's method stand beside them as an extra field and "
    "decide nothing."
)


def treatment_key(treatment: str, label: Label) -> str:
    """Return the name under which a treatment stands in the report's data."""
    return TRAINED_NETWORK if treatment == WINNING_TICKET and label == "trained" else treatment


def treatment_name(key: str) -> str:
    """Return how a treatment is called in text and legends."""
    names = {DENSE: "dense network", WINNING_TICKET: "ticket", TRAINED_NETWORK: "trained sparse network"}
    return names.get(key) or key.replace("_", " ")


def label_sentence(label: Label, rewind_step: int) -> str:
    """Say what the outputs of a search may be called."""
    return LABELS[label].format(step=f"{rewind_step:,}")


def accuracy(value: float | None) -> str:
    """Write an accuracy with four decimals."""
    return "–" if value is None else f"{value:.4f}"


def points(value: float | None) -> str:
    """Write a difference of accuracies in percentage points, with its sign."""
    if value is None:
        return "–"
    text = f"{100 * value:+.2f}".replace("-", "−")
    return text[1:] if text.endswith("0.00") else text


def count(value: float | None) -> str:
    """Write a number of weights or steps."""
    return "–" if value is None else f"{value:,.0f}"


def numbers(values: Sequence[int]) -> str:
    """Write ascending numbers with their runs joined: `1–5, 7`."""
    runs: list[list[int]] = []
    for value in values:
        if runs and value == runs[-1][-1] + 1:
            runs[-1].append(value)
        else:
            runs.append([value])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}–{run[-1]}" for run in runs)


def density(value: float) -> str:
    """Write a density with four decimals, small ones with three digits that count."""
    return f"{value:.4f}" if value >= 0.01 else f"{value:.3g}"


def ratio(value: float | None) -> str:
    """Write a ratio of steps; a bound beyond all reason is written as such."""
    if value is None:
        return "–"
    return f"{value:.2f}" if value < 1000 else "> 999"


def spread(values: Mapping[str, Any] | None, write: Any) -> str:
    """Write mean, minimum and maximum: `0.9821 (0.9786–0.9824)`."""
    if values is None:
        return "–"
    mean, low, high = (write(values[name]) for name in ("mean", "min", "max"))
    return mean if low == high == mean else f"{mean} ({low}–{high})"


def bounds(values: Mapping[str, Any] | None, write: Any) -> str:
    """Write an estimate with its one-sided bounds: `+0.21 [+0.05, +0.37]`."""
    if values is None:
        return "–"
    if values["lower"] is None:
        return str(write(values["mean"]))
    return f"{write(values['mean'])} [{write(values['lower'])}, {write(values['upper'])}]"


def verdict_name(name: str) -> str:
    """Return how a verdict is called in text."""
    return VERDICTS.get(name, name.replace("_", " "))


def end_reason(reason: str | None) -> str:
    """Say why a lineage ended."""
    return "no reason is recorded" if reason is None else ENDS.get(reason, reason.replace("_", " "))


def cell_name(cell: Mapping[str, Any]) -> str:
    """Name a setting by what makes it differ: `prune.fraction = 0.2, train.lr = 0.1`."""
    return ", ".join(f"{name} = {value}" for name, value in cell.items()) or "the one setting"
