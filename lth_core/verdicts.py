"""Verdicts on one level over replicates: is the ticket as good as the dense network, and does it matter why.

Bounds are one-sided, per level and unadjusted. They belong to a search and are no part of a ticket.

References:
    Frankle & Carbin 2019, arXiv:1803.03635, section 1 (the point rule); the bounds are our convention.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from lth_core.bounds import Bounds, mean_bounds, p_mean_above, ratio_bounds, sign_test
from lth_core.labels import Label
from lth_core.parts import Rule

Verdict = Literal["yes", "no", "inconclusive"]
MIN_REPLICATES = 3
"""Fewer replicates decide no rule that uses bounds."""
ROUNDING = 1e-12
"""A bound must pass its limit by more than this: equal outcomes are no evidence, whatever their last bits say."""


@dataclass(frozen=True)
class Outcome:
    """What one replicate of one treatment reached: its accuracy, and the step of minimum validation loss.

    Attributes:
        accuracy: Share in [0, 1].
        early_stop_step: Step j; the geometric mean where several draws of a control were averaged.
        converged: False if validation loss was lowest at the end: then j is undefined.
    """

    accuracy: float
    early_stop_step: float
    converged: bool = True


@dataclass(frozen=True)
class Pair:
    """One replicate at one level: the dense network, the ticket, and the controls that were run."""

    dense: Outcome
    ticket: Outcome
    controls: Mapping[str, Outcome] = field(default_factory=dict)


@dataclass(frozen=True)
class Comparison:
    """The ticket against one other treatment, paired by replicate.

    Attributes:
        accuracy: Of the differences ticket - other.
        speed: Of the ratios j(ticket) / j(other); None where the speed rule is not applied.
        sign_p: Sign test of the accuracy differences, None if they disagree.
    """

    accuracy: Bounds
    speed: Bounds | None
    sign_p: float | None

    def as_json(self) -> dict[str, Any]:
        """Return the comparison as a JSON object."""
        speed = None if self.speed is None else self.speed.as_json()
        return {"accuracy_difference": self.accuracy.as_json(), "early_stop_ratio": speed, "sign_p": self.sign_p}


@dataclass(frozen=True)
class LevelVerdict:
    """All verdicts on one level, with the figures they rest on.

    Attributes:
        verdicts: Every rule by name.
        n: Replicates that were paired.
        speed_rule: "applied", or why not.
        comparisons: Against the dense network and every control.
        p_value: One-sided, of "the accuracy is above the dense one minus the margin".
    """

    verdicts: dict[str, Verdict]
    n: int
    speed_rule: str
    comparisons: dict[str, Comparison]
    p_value: float | None


def judge(
    pairs: Sequence[Pair], density: float, rule: Rule, *, fixed_steps: bool = False, label: Label = "winning"
) -> LevelVerdict:
    """Judge one level.

    With a, a' the accuracies of dense network and ticket in one replicate, j, j' their early-stopping steps, and
    one-sided bounds by Student's t over replicates:

    - `paper_point`: mean a' >= mean a, mean j' <= mean j and density <= `max_density`, at any n;
    - `certified`: lower bound of mean(a' - a) > -margin, and upper bound of the geometric mean of j'/j < `speed_ratio`;
    - `initialisation_matters`, `mask_matters`: against random_reinit or shuffled_mask, lower bound of the mean accuracy
      difference > 0, or upper bound of the geometric mean of the ratios of steps < 1;
    - `lost`: upper bound of mean(a' - a) < -margin;
    - `matching`: `certified` under its other name, where the ticket is rewound to a step above 0;
    - `trained_matches`: the accuracy rule of `certified`, for a trained network. It is no ticket, its steps are no
      ticket's steps, and what it shares with a control is not only its initialisation or its mask: it has no others.

    Args:
        pairs: The replicates that have both the dense network and the ticket, at least one.
        density: Kept share of the level.
        rule: Limits and confidence.
        fixed_steps: The learning rate drops on the way: accuracy at the end is compared, speed is not.
        label: What the level's network may be called.

    References:
        Frankle & Carbin 2019, arXiv:1803.03635, section 1 (`paper_point`); the margin of a match as in Renda et al.
        2020, arXiv:2003.02389; the bounds are our convention.
    """
    stopped = all(pair.dense.converged and pair.ticket.converged for pair in pairs)
    timed = not fixed_steps and label != "trained"
    speed_rule = "applied" if timed and stopped else _why_no_speed(label, fixed_steps=fixed_steps)
    against_dense = _compare(pairs, [pair.dense for pair in pairs], rule, speed=timed and stopped)
    comparisons = {"dense": against_dense}
    for treatment in sorted({name for pair in pairs for name in pair.controls}):
        having = [pair for pair in pairs if treatment in pair.controls]
        others = [pair.controls[treatment] for pair in having]
        speed = timed and all(outcome.converged for outcome in [*others, *(pair.ticket for pair in having)])
        comparisons[treatment] = _compare(having, others, rule, speed=speed)
    verdicts: dict[str, Verdict] = {}
    if label == "trained":
        verdicts["trained_matches"] = _above(against_dense.accuracy, -rule.margin)
    else:
        verdicts["paper_point"] = _paper_point(pairs, density, rule, speed=timed and stopped)
        verdicts["certified"] = _certified(against_dense, rule)
        for name, treatment in (("initialisation_matters", "random_reinit"), ("mask_matters", "shuffled_mask")):
            verdicts[name] = beats(comparisons[treatment]) if treatment in comparisons else "inconclusive"
    if label == "matching":
        verdicts["matching"] = verdicts["certified"]
    verdicts["lost"] = _below(against_dense.accuracy, -rule.margin)
    verdicts["not_converged"] = "no" if stopped else "yes"
    differences = [pair.ticket.accuracy - pair.dense.accuracy for pair in pairs]
    return LevelVerdict(verdicts, len(pairs), speed_rule, comparisons, p_mean_above(differences, -rule.margin))


def _why_no_speed(label: Label, *, fixed_steps: bool) -> str:
    if label == "trained":
        return "off: trained network"
    return "off: fixed steps" if fixed_steps else "off: not converged"


def average(draws: Sequence[Outcome]) -> Outcome:
    """Average several draws of a control within one replicate, before pairing: accuracy by mean, j geometrically."""
    return Outcome(
        accuracy=math.fsum(draw.accuracy for draw in draws) / len(draws),
        early_stop_step=math.exp(math.fsum(math.log(draw.early_stop_step) for draw in draws) / len(draws)),
        converged=all(draw.converged for draw in draws),
    )


def _compare(pairs: Sequence[Pair], others: Sequence[Outcome], rule: Rule, *, speed: bool) -> Comparison:
    tickets = [pair.ticket for pair in pairs]
    both = list(zip(tickets, others, strict=True))
    differences = [ticket.accuracy - other.accuracy for ticket, other in both]
    ratios = [ticket.early_stop_step / other.early_stop_step for ticket, other in both]
    return Comparison(
        accuracy=mean_bounds(differences, rule.confidence),
        speed=ratio_bounds(ratios, rule.confidence) if speed else None,
        sign_p=sign_test(differences),
    )


def _paper_point(pairs: Sequence[Pair], density: float, rule: Rule, *, speed: bool) -> Verdict:
    accurate = math.fsum(pair.ticket.accuracy - pair.dense.accuracy for pair in pairs) >= -ROUNDING
    early = math.fsum(pair.ticket.early_stop_step - pair.dense.early_stop_step for pair in pairs) <= 0
    return "yes" if accurate and (early or not speed) and density <= rule.max_density else "no"


def _certified(comparison: Comparison, rule: Rule) -> Verdict:
    accurate = _above(comparison.accuracy, -rule.margin)
    if comparison.speed is None:
        return accurate
    fast = _below(comparison.speed, rule.speed_ratio)
    if "no" in (accurate, fast):
        return "no"
    return "yes" if accurate == fast == "yes" else "inconclusive"


def beats(comparison: Comparison) -> Verdict:
    """Tell whether the ticket beats another treatment, by accuracy or by speed; too few replicates tell nothing."""
    more_accurate = _above(comparison.accuracy, 0.0)
    if comparison.speed is None:
        return more_accurate
    faster = _below(comparison.speed, 1.0)
    if "yes" in (more_accurate, faster):
        return "yes"
    return "no" if more_accurate == faster == "no" else "inconclusive"


def _above(bounds: Bounds, limit: float) -> Verdict:
    """Tell whether the mean is above a limit: the lower bound says yes, the upper bound says no."""
    if bounds.n < MIN_REPLICATES or bounds.lower is None or bounds.upper is None:
        return "inconclusive"
    above, below = bounds.lower > limit + ROUNDING, bounds.upper < limit - ROUNDING
    return "yes" if above else "no" if below else "inconclusive"


def _below(bounds: Bounds, limit: float) -> Verdict:
    opposite: dict[Verdict, Verdict] = {"yes": "no", "no": "yes", "inconclusive": "inconclusive"}
    return opposite[_above(bounds, limit)]
