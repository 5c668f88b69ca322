"""The gates of the benchmarks on made figures: each one fails where it must, and is silent of what was not run."""

from __future__ import annotations

import pytest

from benchmarks import conv2_search, mnist_gates
from benchmarks.mnist_gates import LADDER
from lth_core.architecture import architecture
from lth_core.presets import PRESETS
from lth_core.pruning import density_ladder


def rows(levels=21, *, ticket=None, reinit=None, replicates=3):
    """Tickets 0.004 ahead of reinit at every level, 0.002 above dense, and below it at level 20."""
    found = []
    for replicate in range(replicates):
        for level in range(levels):
            base = 0.98 + 0.001 * replicate
            lead = {0: 0.0, 20: -0.003}.get(level, 0.002)
            accuracy = {"winning_ticket": base + (ticket or {}).get(level, lead)}
            if level:
                accuracy["random_reinit"] = accuracy["winning_ticket"] - (reinit or {}).get(level, 0.004)
            for treatment, value in accuracy.items():
                row = {"treatment": treatment, "replicate": replicate, "level": level, "kept": LADDER[level]}
                found.append({**row, "test_accuracy": value, "density": LADDER[level] / LADDER[0]})
    return found


def failing(found):
    return [name for name, gate in mnist_gates.gates_of(found).items() if gate.holds is False]


def test_all_gates_hold_of_figures_as_the_paper_has_them():
    assert failing(rows()) == []
    assert all(gate.holds for gate in mnist_gates.gates_of(rows()).values())


@pytest.mark.parametrize(
    ("changes", "gate"),
    [
        ({"reinit": {7: 0.0}}, "ahead_of_reinit_on_every_replicate_at_level_7"),
        ({"reinit": {15: -0.001}}, "ahead_of_reinit_on_every_replicate_at_level_15"),
        ({"reinit": {7: 0.0095}}, "mean_lead_in_band_at_level_7"),
        ({"ticket": {15: -0.0031}}, "within_dense_band_at_level_15"),
        ({"ticket": {15: 0.0031}}, "within_dense_band_at_level_15"),
        ({"ticket": {20: 0.0001}}, "below_dense_at_level_20"),
    ],
)
def test_each_gate_fails_where_its_statement_is_false(changes, gate):
    assert gate in failing(rows(**changes))


def test_one_wrong_count_breaks_the_ladder():
    found = rows()
    found[-1]["kept"] += 1
    assert failing(found) == ["ladder_is_exact"]


def test_gates_of_levels_that_were_not_run_are_not_judged():
    gates = mnist_gates.gates_of(rows(levels=13))
    assert failing(rows(levels=13)) == []
    assert gates["below_dense_at_level_20"].holds is None
    assert gates["mean_lead_in_band_at_level_7"].holds is True


def test_the_ladder_is_that_of_the_preset():
    spec = PRESETS["lenet-mnist"]().spec
    tensors = architecture(spec.model, (1, 28, 28), 10)
    assert density_ladder(tensors, spec.prune, 21) == LADDER


@pytest.mark.parametrize(("lead", "holds"), [(0.004, True), (-0.001, False), (0.0, False)])
def test_conv2_is_judged_at_its_lowest_density(lead, holds):
    found = rows(levels=5, reinit={4: lead})
    [gate] = conv2_search.gates_of(found).values()
    assert (gate.holds, gate.figures["level"]) == (holds, 4)
