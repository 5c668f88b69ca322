"""Figures, tables and pictures from a result that was made up, so that every number can be said in advance."""

from __future__ import annotations

import json
from typing import Any

import pytest

from benchmarks.engine import plots, report
from benchmarks.engine.summary import figures, roofline_share

COSTS = {"open_lth 0 workers": 0.020, "autograd": 0.004, "jax G=1": 0.005, "jax G=4": 0.003, "ours": 0.002}
"""Seconds per step of the dense level; those of ours fall with the level."""


def samples() -> list[dict[str, Any]]:
    """Three rounds, the second twice as slow for everybody."""
    rows = []
    for name, cost in COSTS.items():
        replicates = 4 if name.endswith("4") else 1
        for turn, slower in enumerate((1.0, 2.0, 1.0)):
            for level in (0, 1, 2):
                if level == 1 and name != "ours":
                    continue
                own = cost / 2**level if name == "ours" else cost
                for cadence in (False, True):
                    spent = own * slower * 100 * replicates * (1.5 if cadence else 1.0)
                    rows.append(row(name, level, cadence, turn, 100, replicates, spent))
                if name != "open_lth 0 workers":
                    rows.append(row(name, level, True, turn, 0, replicates, 0.1 * slower * replicates))
    return rows


def row(name: str, level: int, cadence: bool, turn: int, steps: int, replicates: int, spent: float) -> dict[str, Any]:
    return {
        "contestant": name,
        "level": level,
        "cadence": cadence,
        "round": turn,
        "steps": steps,
        "replicates": replicates,
        "cpu_s": spent,
        "wall_s": 2 * spent,
    }


@pytest.fixture
def result() -> dict[str, Any]:
    kept = {level: {"fc1.weight": 100 // 2**level} for level in (0, 1, 2)}
    experiment = {
        "name": "lenet",
        "clock": "cpu",
        "levels": [0, 1, 2],
        "steps_per_level": 1000,
        "train": {"optimizer": "sgd", "momentum": 0.0, "lr": 0.1, "batch_size": 10},
        "model": {"name": "mlp"},
        "data": {"name": "made", "synthetic": True, "mask_steps": 3},
        "kept": kept,
        "density": {0: 1.0, 1: 0.5, 2: 0.25},
        "contestants": {n: {"dense": n != "ours", "tests": not n.startswith("open_lth")} for n in COSTS},
        "absent": {"pack": "it had no time"},
        "lost": {},
        "roofline": {
            "peaks": {"flop_per_s": 1e7, "bytes_per_s": 1e12},
            "uses": {"fc1.weight": 1},
            "inputs": 10,
            "batch_size": 10,
            "num_biases": 0,
        },
        "gates": [
            {
                "contestant": "ours",
                "level": level,
                "replicate": 0,
                "largest": largest,
                "share_beyond": share,
                "holds": ok,
            }
            for level, largest, share, ok in ((0, 2e-5, 0.001, False), (2, 1e-7, 0.0, True))
        ],
        "samples": samples(),
    }
    document = {
        "name": "engine-cpu",
        "at": "2026-01-01T00:00:00Z",
        "commit": "0" * 40,
        "dirty": False,
        "machine": {"cpu": "a core", "isa": "AVX2", "load": [0.1, 0.1, 0.1]},
        "versions": {"python": "3.11"},
        "smoke": False,
        "clock": "CPU seconds",
        "rounds": 3,
        "experiments": [experiment],
    }
    return json.loads(json.dumps(document))


def test_a_slow_round_is_slow_for_all_and_leaves_ratios_alone(result):
    found = figures(result["experiments"][0])
    ratio = found.step_ratio("open_lth 0 workers", "ours", 0, cadence=False)
    assert ratio is not None
    assert (ratio.median, ratio.lowest, ratio.highest) == pytest.approx((10.0, 10.0, 10.0))
    step = found.step("ours", 0, cadence=False)
    assert step is not None
    assert (step.median, step.highest) == pytest.approx((0.002, 0.004))


def test_a_pack_is_charged_per_replicate(result):
    step = figures(result["experiments"][0]).step("jax G=4", 0, cadence=False)
    assert step is not None
    assert step.median == pytest.approx(0.003)


def test_lineages_add_levels_and_looks_at_the_test_set_where_they_are_not_in_the_window(result):
    found = figures(result["experiments"][0])
    plain, judged = (found.lineage("ours", cadence=cadence) for cadence in (False, True))
    theirs = found.lineage("open_lth 0 workers", cadence=True)
    assert plain is not None
    assert judged is not None
    assert theirs is not None
    assert plain.median == pytest.approx(1000 * (0.002 + 0.001 + 0.0005))
    assert judged.median == pytest.approx(1.5 * plain.median + 9 * 0.1)
    assert theirs.median == pytest.approx(3 * 1000 * 0.020 * 1.5)


def test_of_several_sizes_the_best_is_the_rival(result):
    found = figures(result["experiments"][0])
    assert found.best_of("jax", cadence=False) == "jax G=4"
    assert found.best_of("hfta-like", cadence=False) is None


def test_the_share_of_the_roofline_counts_survivors_only_where_the_cost_follows_them(result):
    experiment = result["experiments"][0]
    found = figures(experiment)
    dense = (2 * 10 * 100 * 2 + 2 * 100) / 1e7
    assert roofline_share(experiment, found, "autograd", 2) == pytest.approx(dense / 0.004)
    assert roofline_share(experiment, found, "ours", 2) == pytest.approx(dense / 4 / 0.0005)


def test_the_table_says_ratios_gates_and_who_was_absent(result):
    text = report.markdown(result)
    ours = next(line for line in text.splitlines() if line.startswith("| ours |"))
    assert "17.14 [17.14, 17.14]" in ours  # 60 s against 3.5 s
    assert "1/2, 2e-05, 0.001 of the weights beyond" in ours
    assert "- pack did not take part: it had no time" in text


def test_a_smoke_run_says_that_its_figures_mean_nothing(result):
    assert "mean nothing" not in report.markdown(result)
    assert "mean nothing" in report.markdown({**result, "smoke": True})


def test_tables_go_between_the_markers_and_nothing_else_changes(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- begin generated: x -->\nold\n<!-- end generated: x -->\nafter\n")
    report.put(page, "x", "new\n")
    assert page.read_text() == "before\n<!-- begin generated: x -->\nnew\n<!-- end generated: x -->\nafter\n"
    with pytest.raises(ValueError, match="must have the lines"):
        report.put(page, "y", "new")


def test_every_picture_is_drawn(result, tmp_path):
    names = {path.name for path in plots.draw(result, tmp_path, "r")}
    assert names == {f"r-lenet-{kind}.png" for kind in ("density", "lineage", "packs")}
    assert all((tmp_path / name).stat().st_size > 5_000 for name in names)
