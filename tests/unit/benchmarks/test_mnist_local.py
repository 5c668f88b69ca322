"""The LeNet figure without a service, on a few made-up pictures."""

from __future__ import annotations

import json

from benchmarks import mnist_local, result
from benchmarks.engine.data import made_up, write_mnist


def test_one_command_searches_judges_and_keeps_the_figures(tmp_path, monkeypatch):
    monkeypatch.setattr(result, "RESULTS", tmp_path / "results")
    write_mnist(tmp_path, made_up((1, 28, 28), 600, 100))
    words = ["--steps", "20", "--levels", "2", "--replicates", "2", "--engine", "pack", "--slots", "3"]
    mnist_local.main(["--root", str(tmp_path), "--out", str(tmp_path / "record"), *words])
    [path] = (tmp_path / "results").glob("*lenet-mnist-20-cpu-local.json")
    kept = json.loads(path.read_bytes())
    assert kept["gates"]["ladder_is_exact"]["holds"] is True
    assert kept["gates"]["below_dense_at_level_20"]["holds"] is None
    assert len(kept["rows"]) == 2 * (1 + 2 * 2)
    assert {row["treatment"] for row in kept["rows"]} == {"winning_ticket", "random_reinit"}
    assert len(list((tmp_path / "record").glob("lineages/local/*/L*.json"))) == len(kept["rows"])
