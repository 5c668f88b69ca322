"""What a reader of a search's verdicts must know: one plain sentence for each weakness of a setting."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from lth_core.expansion import WINNING_TICKET, LineageSpec, PlannedLineage
from lth_core.judged_levels import DENSE, JudgedLevel, Run
from lth_core.parts import Rule
from lth_core.treatments import Treatment
from lth_core.verdicts import MIN_REPLICATES, Comparison, beats

LENET = frozenset({"lenet_300_100", "mlp"})
CONV = frozenset({"conv_2", "conv_4", "conv_6"})
LENET_LIMIT = 0.2115
"""On fully connected networks re-initialised tickets lose from density 0.211 on: the printed label of level 7."""
CONV_LIMIT = 0.1
"""On convolutional networks they lose at small densities only; the paper names no limit, this one is our convention."""
MASKS_DEGRADE = frozenset({"random_reinit", "shuffled_mask", "random_mask"})
WEAK_ON_LENET = MASKS_DEGRADE | {"random_sparse", "magnitude_at_init"}

MEANING = {
    "random_reinit": "the initialisation matters",
    "reuse": "the initialisation matters",
    "shuffled_mask": "it matters which weights are kept",
    "random_mask": "it matters which weights are kept",
    "random_sparse": "mask and initialisation matter",
    "magnitude_at_init": "the mask had to be learned",
    "invert_scores": "the scores say which weights to keep",
}
"""What a control shows where it loses; the controls that are not named here are not meant to lose."""


def cautions(planned: Sequence[PlannedLineage], levels: Sequence[JudgedLevel], rule: Rule) -> list[str]:
    """Return the sentences of one setting.

    They name: too few replicates for bounds, trainings that have not converged, collapsed levels, lineages that did
    not run to their end, controls that do not lose, and an `identity` control that differs from its parent.

    Args:
        planned: The lineages of the setting.
        levels: Its levels as far as they are committed.
        rule: Its largest density bounds where a control is expected to lose at all.

    References:
        Frankle & Carbin 2019, arXiv:1803.03635, sections 2, 3, E and F.4 (which controls lose, and where); Frankle
        et al. 2021, arXiv:2009.08576 (masks found at initialisation do not degrade under shuffling).
    """
    if not levels:
        return []
    return [
        *_too_few(planned, levels),
        *_not_converged(levels),
        *_collapsed(levels),
        *_unfinished(planned, levels),
        *_missing(planned, levels),
        *_not_identical(levels),
        *_not_losing(planned, levels, rule),
    ]


def must_lose(lineage: LineageSpec, treatment: str, density: float) -> bool:
    """Tell whether a control must lose to a ticket that deserves its name, as the literature found it.

    Args:
        lineage: The chain that finds the masks.
        treatment: Name of the control, without options.
        density: Kept share of the level.
    """
    learned = lineage.method in ("imp", "one_shot") and lineage.prune.criterion == "magnitude"
    if not learned or lineage.rewind.mode != "weights":
        return False
    if lineage.model.name in LENET:
        return treatment in WEAK_ON_LENET and density <= LENET_LIMIT
    return lineage.model.name in CONV and treatment in MASKS_DEGRADE and density <= CONV_LIMIT


def _too_few(planned: Sequence[PlannedLineage], levels: Sequence[JudgedLevel]) -> Iterator[str]:
    num = len({lineage.spec.replicate for lineage in planned})
    if num == 1:
        yield "one replicate: nothing is certified, and paper_point compares single trainings"
    elif num < MIN_REPLICATES:
        yield f"{num} replicates: bounds need at least {MIN_REPLICATES}, so nothing is certified"
    else:
        thin = [level for level in levels if level.verdict is not None and level.verdict.n < MIN_REPLICATES]
        if thin:
            yield f"{_where(thin)}: fewer than {MIN_REPLICATES} replicates could be paired, so nothing is certified"


def _not_converged(levels: Sequence[JudgedLevel]) -> Iterator[str]:
    if levels[0].fixed_steps:
        return
    late = "validation loss was lowest at the last evaluation, so early stop is undefined and speed is not judged"
    for treatment, name in ((DENSE, "the dense network"), (WINNING_TICKET, "the pruned network")):
        of_it = [[run for run in _runs(level, treatment) if not run.core["metrics"]["converged"]] for level in levels]
        replicates = {run.replicate for runs in of_it for run in runs}
        if replicates:
            found = [level for level, runs in zip(levels, of_it, strict=True) if runs]
            place = "" if treatment == DENSE else f" at {_where(found)}"
            yield f"{name} is not converged{place} ({_replicates(replicates)}): {late}; train longer"


def _collapsed(levels: Sequence[JudgedLevel]) -> Iterator[str]:
    for level in levels:
        replicates = {run.replicate for run in _runs(level, WINNING_TICKET) if run.core.get("collapsed")}
        if replicates:
            yield f"{_where([level])} is collapsed ({_replicates(replicates)}): a layer has no survivor"


def _unfinished(planned: Sequence[PlannedLineage], levels: Sequence[JudgedLevel]) -> Iterator[str]:
    for own in planned:
        if own.source_key is not None:
            continue
        replicate = own.spec.replicate
        reached = [
            level for level in levels if _num_runs(level, WINNING_TICKET if level.level else DENSE, replicate) > 0
        ]
        if not reached:
            yield f"replicate {replicate} has no dense network"
        elif reached[-1].level < own.spec.prune.levels and not _is_collapsed(reached[-1], replicate):
            yield f"replicate {replicate} has level {reached[-1].level} of {own.spec.prune.levels} as its last"


def _missing(planned: Sequence[PlannedLineage], levels: Sequence[JudgedLevel]) -> Iterator[str]:
    draws = Counter((own.spec.treatment, own.spec.replicate) for own in planned if own.source_key is not None)
    if not draws:
        yield "no control was run: nothing shows that the initialisation or the mask matters"
    for (treatment, replicate), num in draws.items():
        missing = [
            level
            for level in levels
            if _num_runs(level, WINNING_TICKET, replicate) and _num_runs(level, treatment, replicate) < num
        ]
        if missing:
            yield f"{treatment} of replicate {replicate} is missing at {_where(missing)}"


def _not_identical(levels: Sequence[JudgedLevel]) -> Iterator[str]:
    for level in levels:
        parents = {run.replicate: run for run in _runs(level, WINNING_TICKET)}
        pairs = [(run, parents.get(run.replicate)) for run in _runs(level, "identity")]
        replicates = {run.replicate for run, parent in pairs if parent is None or _final(run) != _final(parent)}
        if replicates:
            yield (
                f"identity differs from its parent at {_where([level])} ({_replicates(replicates)}): "
                "the computation is not reproducible there"
            )


def _final(run: Run) -> str:
    return str(run.core["digests"]["final"])


def _not_losing(planned: Sequence[PlannedLineage], levels: Sequence[JudgedLevel], rule: Rule) -> Iterator[str]:
    chain = next(own.spec for own in planned if own.source_key is None)
    rival = "trained network" if levels[0].label == "trained" else "ticket"
    for label in dict.fromkeys(own.spec.treatment for own in planned if own.source_key is not None):
        name = Treatment.of_label(label).name
        standing = [level for level in levels if level.density <= rule.max_density and _stands(level, label)]
        wrong = [level for level in standing if must_lose(chain, name, level.density)]
        rest = [level for level in standing if level not in wrong]
        if wrong:
            limit = "0.211" if chain.model.name in LENET else f"{CONV_LIMIT:g}"
            yield (
                f"{label} does not lose to the {rival} at {_where(wrong)}, but must on {chain.model.name} at "
                f"density <= {limit}: doubt the recipe, or run more replicates, before you trust the tickets"
            )
        if rest and name in MEANING:
            known = (
                ", as is known of masks found at initialisation" if _at_init(chain) and name in MASKS_DEGRADE else ""
            )
            yield f"{label} does not lose to the {rival} at {_where(rest)}: nothing shows that {MEANING[name]}{known}"


def _at_init(lineage: LineageSpec) -> bool:
    return lineage.method in ("snip", "grasp", "synflow", "magnitude_at_init")


def _stands(level: JudgedLevel, label: str) -> bool:
    """Tell whether a control was compared at a level and is not shown to lose; by the mean where bounds say nothing."""
    comparisons: Mapping[str, Comparison] = level.verdict.comparisons if level.verdict is not None else {}
    comparison = comparisons.get(label)
    if comparison is None:
        return False
    if comparison.accuracy.n < MIN_REPLICATES:
        return comparison.accuracy.mean <= 0
    return beats(comparison) != "yes"


def _runs(level: JudgedLevel, treatment: str) -> list[Run]:
    return [run for run in level.runs if run.treatment == treatment]


def _num_runs(level: JudgedLevel, treatment: str, replicate: int) -> int:
    return sum(run.replicate == replicate for run in _runs(level, treatment))


def _is_collapsed(level: JudgedLevel, replicate: int) -> bool:
    return any(run.core.get("collapsed") for run in _runs(level, WINNING_TICKET) if run.replicate == replicate)


def _replicates(replicates: Iterable[int]) -> str:
    names = sorted(replicates)
    return f"replicate{'s' if len(names) > 1 else ''} {', '.join(map(str, names))}"


def _where(levels: Sequence[JudgedLevel]) -> str:
    """Name levels with their densities: `level 3 (density 0.51)`, `levels 3, 5-7 (density 0.51 to 0.21)`."""
    numbers = [level.level for level in levels]
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][-1] + 1:
            spans[-1].append(number)
        else:
            spans.append([number])
    text = ", ".join(f"{span[0]}-{span[-1]}" if len(span) > 1 else str(span[0]) for span in spans)
    if len(numbers) == 1:
        return f"level {text} (density {levels[0].density:.3g})"
    return f"levels {text} (density {levels[0].density:.3g} to {levels[-1].density:.3g})"
