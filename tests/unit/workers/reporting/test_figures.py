"""Figures stay readable with many treatments and many layers, and choose what to show evenly."""

from __future__ import annotations

from typing import Any, get_args

from lth_core.names import TreatmentName
from workers.reporting.figure_data import chosen_levels
from workers.reporting.figure_levels import draw_differences, draw_layers
from workers.reporting.figure_style import Canvas, looks_of


def level(number: int, others: list[str]) -> dict[str, Any]:
    found = {"n": 3, "mean": 0.01, "lower": -0.01, "upper": 0.03}
    density = 0.5**number
    return {
        "level": number,
        "density": density,
        "paired": {name: {"accuracy_difference": found} for name in others},
        "layers": [{"name": f"l{i}.weight", "total": 100, "kept": {"mean": 100 * density}} for i in range(20)],
    }


def test_no_two_treatments_of_a_search_look_the_same() -> None:
    looks = looks_of(["winning_ticket", "dense", *get_args(TreatmentName)])
    assert len({(color, marker) for color, marker, _ in looks.values()}) == len(looks)
    assert looks["random_reinit"] == looks_of(["random_reinit"])["random_reinit"]


def test_many_comparisons_get_a_panel_each() -> None:
    others = ["dense", "random_reinit", "shuffled_mask", "reuse", "noise[sigma=3.0]"]
    with Canvas() as canvas:
        draw_differences(canvas, [level(n, others) for n in (1, 2)], 0.002, "winning_ticket")
        titles = [axes.get_title() for axes in canvas.figure.axes if axes.axison]
    assert titles == [f"minus {n}" for n in ("dense network", *(o.replace("_", " ") for o in others[1:]))]


def test_few_comparisons_share_one_panel() -> None:
    with Canvas() as canvas:
        draw_differences(canvas, [level(n, ["dense", "random_reinit"]) for n in (1, 2)], 0.002, "winning_ticket")
        assert len(canvas.figure.axes) == 1


def test_of_many_layers_only_some_are_named() -> None:
    with Canvas() as canvas:
        draw_layers(canvas, [level(n, []) for n in (0, 1, 2)])
        (axes,) = canvas.figure.axes
        names = axes.get_legend_handles_labels()[1]
        assert len(axes.get_lines()) == 21
    assert names[0] == "whole network"
    assert (names[1], names[-1]) == ("l0", "l19")
    assert len(names) == 7


def test_levels_are_chosen_evenly_with_the_deepest_among_them() -> None:
    assert chosen_levels(range(21)) == [4, 8, 12, 16, 20]
    assert chosen_levels([0, 1, 2]) == [1, 2]
    assert chosen_levels([0]) == []
