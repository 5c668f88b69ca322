"""The tables of a report: one row per level, numbers written for readers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from workers.reporting import words
from workers.reporting.blocks import Table
from workers.reporting.figure_data import chosen_levels

Level = Mapping[str, Any]
MAX_LAYER_COLUMNS = 6
ADVERSE = frozenset({"lost", "not_converged"})
DECIDED_BY = {"initialisation_matters": "random_reinit", "mask_matters": "shuffled_mask"}
ACCURACIES = {
    "test_accuracy": "Test accuracy at early stop: mean (smallest–largest)",
    "end_test_accuracy": "Test accuracy after the last step: mean (smallest–largest)",
}


def figure_table(levels: Sequence[Level], main: str, figure: str, caption: str, write: Callable[[float], str]) -> Table:
    """Return one figure of every treatment at every level, the dense network as level 0 of the main one."""
    names = _columns(levels, main)
    rows = [(*_place(level), *(_figure(level, main, name, figure, write) for name in names)) for level in levels]
    return Table(caption, ("level", "density", *map(words.treatment_name, names)), tuple(rows))


def step_table(levels: Sequence[Level], main: str) -> Table:
    """Return the early-stop steps, with how many trainings were still improving at their last evaluation."""
    names = _columns(levels, main)
    rows = []
    for level in levels:
        cells = []
        for name in names:
            own = _of(level, main, name)
            late = 0 if own is None else own["n"] - own["num_converged"]
            said = _figure(level, main, name, "early_stop_step", words.count)
            cells.append(said + (f"; {late} not converged" if late else ""))
        rows.append((*_place(level), *cells))
    head = ("level", "density", *map(words.treatment_name, names))
    return Table("Early-stop step: mean (smallest–largest)", head, tuple(rows))


def paired_table(levels: Sequence[Level], main: str) -> Table | None:
    """Return the paired differences with their bounds, None where nothing was paired."""
    judged = [level for level in levels if level["paired"]]
    if not judged:
        return None
    names = list(dict.fromkeys(name for level in judged for name in level["paired"]))
    timed = [n for n in names if any((level["paired"].get(n) or {}).get("early_stop_ratio") for level in judged)]
    head = ["level", "density", "n", *(f"− {words.treatment_name(name)} (pp)" for name in names)]
    head += [f"j / j of {words.treatment_name(name)}" for name in timed]
    rows = []
    for level in judged:
        differences = (_bounds(level, name, "accuracy_difference", words.points) for name in names)
        ratios = (_bounds(level, name, "early_stop_ratio", words.ratio) for name in timed)
        rows.append((*_place(level), str(level["n"]), *differences, *ratios))
    caption = f"The {words.treatment_name(main)} against others, paired by replicate: mean [lower, upper bound]"
    return Table(caption, tuple(head), tuple(rows))


def verdict_table(levels: Sequence[Level]) -> Table | None:
    """Return the verdicts of all judged levels, None where none is."""
    judged = [level for level in levels if level["verdicts"]]
    if not judged:
        return None
    names = [name for name in words.VERDICTS if any(name in level["verdicts"] for level in judged)]
    rows = [
        (
            *_place(level),
            str(level["n"]) + (" (one seed)" if level.get("single_seed") else ""),
            *(_verdict(level, name) for name in names),
            "–" if level.get("p") is None else f"{level['p']:.3g}",
            "–" if level.get("p_holm") is None else f"{level['p_holm']:.3g}",
        )
        for level in judged
    ]
    head = ("level", "density", "n", *map(words.verdict_name, names), "p", "p (Holm)")
    caption = "Verdicts; p is one-sided, of an accuracy above the dense one minus the margin"
    adverse = frozenset(i for i, name in enumerate(names, start=3) if name in ADVERSE)
    return Table(caption, head, tuple(rows), frozenset(range(3, 3 + len(names))), adverse)


def layer_table(levels: Sequence[Level]) -> Table | None:
    """Return kept weights per layer and level; many layers become rows, of chosen levels."""
    own = [level for level in levels if level["layers"]]
    if not own:
        return None
    layers = own[0]["layers"]
    names = [layer["name"].removesuffix(".weight") for layer in layers]
    if len(layers) <= MAX_LAYER_COLUMNS:
        columns = [f"{name} of {words.count(layer['total'])}" for name, layer in zip(names, layers, strict=True)]
        head = ("level", "density", "kept", *columns)
        rows = [
            (*_place(one), words.count(one["kept"]), *(words.spread(x["kept"], words.count) for x in one["layers"]))
            for one in own
        ]
        return Table("Kept weights per layer", head, tuple(rows))
    wanted = {0, *chosen_levels(level["level"] for level in own)}
    shown = [level for level in own if level["level"] in wanted]
    head = ("layer", "weights", *(f"level {level['level']}" for level in shown))
    rows = [
        (name, words.count(layers[i]["total"]), *(words.count(level["layers"][i]["kept"]["mean"]) for level in shown))
        for i, name in enumerate(names)
    ]
    return Table("Kept weights per layer at chosen levels: mean over replicates", head, tuple(rows))


def _columns(levels: Sequence[Level], main: str) -> list[str]:
    found = dict.fromkeys(name for level in levels for name in level["treatments"] if name != words.DENSE)
    return [main, *(name for name in found if name != main)]


def _of(level: Level, main: str, name: str) -> Mapping[str, Any] | None:
    """Return a treatment's figures at a level; level 0 of the main one is the dense network."""
    own: Mapping[str, Any] = level["treatments"]
    found: Mapping[str, Any] | None = own.get(words.DENSE if name == main and level["level"] == 0 else name)
    return found


def _figure(level: Level, main: str, name: str, figure: str, write: Callable[[float], str]) -> str:
    own = _of(level, main, name)
    is_dense = name == main and level["level"] == 0 and own is not None
    return words.spread(None if own is None else own[figure], write) + (" (dense)" if is_dense else "")


def _bounds(level: Level, name: str, figure: str, write: Callable[[float | None], str]) -> str:
    """Write an estimate, with its own n where fewer replicates than the level's could be paired."""
    found = (level["paired"].get(name) or {}).get(figure)
    if found is None:
        return words.bounds(None, write)
    return words.bounds(found, write) + (f" (n {found['n']})" if found["n"] != level["n"] else "")


def _verdict(level: Level, name: str) -> str:
    """Return a verdict; without the control that decides it there is none."""
    control = DECIDED_BY.get(name)
    if control is not None and control not in level["paired"]:
        return "not run"
    return str(level["verdicts"].get(name, "–"))


def _place(level: Level) -> tuple[str, str]:
    return str(level["level"]), words.density(level["density"])
