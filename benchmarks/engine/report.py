"""From a result to Markdown: a table per experiment, with gates and rooflines, put between the markers of a page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.engine.statistics import Spread
from benchmarks.engine.summary import Figures, figures, roofline_share

BEGIN, END = "<!-- begin generated: {} -->", "<!-- end generated: {} -->"
FAMILIES = ("open_lth", "autograd", "hfta-like", "jax")
"""Rivals that ratios are against; of several sizes, the one whose lineage costs least."""


def markdown(result: Mapping[str, Any]) -> str:
    """Return the tables of a result."""
    parts = [_heading(result)]
    if "promises" in result:
        parts.append(promises_markdown(result["promises"]))
    for experiment in result["experiments"]:
        parts.append(experiment_markdown(experiment))
    return "\n\n".join(parts) + "\n"


def promises_markdown(promises: Sequence[Mapping[str, Any]]) -> str:
    """Return the table of what was promised of a training's bits, and whether it held."""
    rows = [
        "### promises",
        "",
        "A training's bits in another slot, pack, company, at another time of admission, resumed, migrated:",
        "",
        _row(["training", "arithmetic", "promised equal", "differed", "holds"]),
        _row(["---"] * 5),
    ]
    for one in promises:
        differed = one.get("error") or "; ".join(one["differing"]) or "nowhere"
        rows.append(_row([one["kind"], one["variant"], _yes(one["promised"]), differed, _yes(one["holds"])]))
    return "\n".join(rows)


def _yes(is_so: bool) -> str:
    return "yes" if is_so else "no"


def experiment_markdown(experiment: Mapping[str, Any]) -> str:
    """Return the tables of one experiment, from its JSON as read back from the file."""
    found = figures(experiment)
    lines = [f"### {experiment['name']}", "", _about(experiment), ""]
    if len(experiment["levels"]) > 1 and found.lineages:
        for cadence in (False, True):
            if any(key[1] == cadence for key in found.lineages):
                lines += [*_lineage_table(experiment, found, cadence), ""]
    lines += [*_step_table(experiment, found), ""]
    for name, reason in {**experiment["absent"], **experiment.get("lost", {})}.items():
        lines.append(f"- {name} did not take part: {reason}")
    return "\n".join(lines).rstrip()


def gate_word(experiment: Mapping[str, Any], name: str) -> str:
    """Return how many of a contestant's first steps are the reference's, and the largest difference."""
    gates = [gate for gate in experiment["gates"] if gate["contestant"] == name]
    if not gates:
        return "is the reference" if name == "reference" else "not judged"
    worst, share = max(gate["largest"] for gate in gates), max(gate["share_beyond"] for gate in gates)
    beyond = f", {share:.1g} of the weights beyond" if share else ""
    return f"{sum(gate['holds'] for gate in gates)}/{len(gates)}, {worst:.0e}{beyond}"


def put(page: Path, name: str, text: str) -> None:
    """Put a text between the markers of its name in a page.

    Raises:
        ValueError: If the page has no such markers.
    """
    begin, end = BEGIN.format(name), END.format(name)
    old = page.read_text()
    if begin not in old or end not in old:
        raise ValueError(f"{page} must have the lines {begin!r} and {end!r}")
    head, rest = old.split(begin, 1)
    tail = rest.split(end, 1)[1]
    page.write_text(f"{head}{begin}\n{text.strip()}\n{end}{tail}")


def read(path: Path) -> dict[str, Any]:
    """Read a result."""
    document: dict[str, Any] = json.loads(path.read_text())
    return document


def _heading(result: Mapping[str, Any]) -> str:
    machine, versions = result["machine"], result["versions"]
    device = machine.get("gpu") or f"{machine['cpu']} ({machine['isa']})"
    dirty = " with changes" if result["dirty"] else ""
    packages = ", ".join(f"{name} {version}" for name, version in versions.items())
    smoke = "**Tiny sizes: these figures mean nothing.** " if result["smoke"] else ""
    return (
        f"{smoke}{result['at']}, commit {result['commit'][:12]}{dirty}, {device}, one thread, load "
        f"{machine['load'][0]:.1f}, {packages}. Clock: {result['clock']}; {result['rounds']} rounds; every figure is a "
        "median over rounds with its lowest and highest."
    )


def _about(experiment: Mapping[str, Any]) -> str:
    train, data = experiment["train"], experiment["data"]
    kind = "synthetic data" if data["synthetic"] else data["name"]
    peaks = experiment["roofline"]["peaks"]
    return (
        f"{experiment['model']['name']}, {kind}, batch {train['batch_size']}, {train['optimizer']} at {train['lr']}; "
        f"masks of one lineage found with {data['mask_steps']} steps a level. Measured peaks: "
        f"{peaks['flop_per_s'] / 1e9:.0f} GFLOP/s (sgemm), {peaks['bytes_per_s'] / 1e9:.1f} GB/s (copy)."
    )


def _lineage_table(experiment: Mapping[str, Any], found: Figures, cadence: bool) -> list[str]:
    rivals = [rival for family in FAMILIES if (rival := found.best_of(family, cadence=cadence)) is not None]
    title = "with evaluation" if cadence else "training only"
    levels, steps = experiment["levels"], experiment["steps_per_level"]
    rows = [
        f"A lineage of {len(levels)} levels of {steps:,} steps, {title}; windows scaled up:",
        "",
        _row(["contestant", "seconds per replicate", *(f"times {rival}" for rival in rivals), "first steps"]),
        _row(["---"] * (3 + len(rivals))),
    ]
    for name in found.names():
        cost = found.lineage(name, cadence=cadence)
        if cost is None:
            continue
        times = [_spread(found.lineage_ratio(rival, name, cadence=cadence), ".2f") for rival in rivals]
        rows.append(_row([name, _spread(cost, ",.0f"), *times, gate_word(experiment, name)]))
    return rows


def _step_table(experiment: Mapping[str, Any], found: Figures) -> list[str]:
    levels = _some(experiment["levels"])
    densities = [experiment["density"][str(level)] for level in levels]
    heads = [f"density {density:.3f}" for density in densities]
    rows = [
        "Steps per second of one replicate, training only, and the share of the roofline:",
        "",
        _row(["contestant", *heads, "first steps"]),
        _row(["---"] * (2 + len(heads))),
    ]
    for name in found.names():
        cells = []
        for level in levels:
            cost = found.step(name, level, cadence=False)
            share = roofline_share(experiment, found, name, level)
            suffix = "" if share is None else f" ({share:.0%})"
            cells.append("" if cost is None else f"{_spread(_rate(cost), _digits(cost))}{suffix}")
        rows.append(_row([name, *cells, gate_word(experiment, name)]))
    return rows


def _some(levels: Sequence[int]) -> list[int]:
    """Return first and last level and some between, those that all contestants are measured at."""
    from benchmarks.engine.harness import levels_of

    return list(levels_of(levels, dense=True))


def _rate(cost: Spread) -> Spread:
    return Spread(1 / cost.median, 1 / cost.highest, 1 / cost.lowest)


def _digits(cost: Spread) -> str:
    return ",.0f" if cost.median < 0.05 else ",.2f"


def _spread(spread: Spread | None, digits: str) -> str:
    return "" if spread is None else f"{spread:{digits}}"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
