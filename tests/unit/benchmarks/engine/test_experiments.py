"""A whole run from data to tables, with tiny sizes; where the GPU's experiments can, they run on this CPU."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.engine import plots, promises, report
from benchmarks.engine.data import made_up, read_mnist, write_mnist
from benchmarks.engine.equivalence import overlap, search, verdict
from benchmarks.engine.experiments import Options, cpu_experiments, gpu_experiments, on_a_cpu, on_a_gpu
from benchmarks.engine.prepare import describe, lineage_of
from lth_core.data import load
from lth_core.determinism import pin
from lth_core.presets import PRESETS


def options(out: Path, experiment: str, *only: str) -> Options:
    return Options(out=out, smoke=True, rounds=2, only=only, wanted=(experiment,))


def test_a_run_on_one_core_leaves_a_result_from_which_everything_is_drawn(tmp_path):
    path = on_a_cpu(options(tmp_path, "lenet", "autograd"))
    result = report.read(path)
    [experiment] = result["experiments"]
    assert set(experiment["contestants"]) == {"autograd", "reference"}
    assert len(experiment["samples"]) == 2 * 2 * 3 * 3
    assert {gate["contestant"] for gate in experiment["gates"]} == {"autograd"}
    assert experiment["data"]["synthetic"] is True
    assert result["machine"]["threads"] == 1
    assert "| autograd |" in report.markdown(result)
    assert len(plots.draw(result, tmp_path, "r")) == 2


@pytest.mark.parametrize("name", ["lenet", "resnet-20"])
def test_the_experiments_of_a_gpu_run_on_a_cpu_with_tiny_sizes(tmp_path, name):
    result = report.read(on_a_gpu(options(tmp_path, name, "autograd", "autograd graph")))
    [experiment] = result["experiments"]
    assert experiment["absent"] == {"autograd graph": "CUDA graphs need a GPU"}
    assert {sample["contestant"] for sample in experiment["samples"]} == {"autograd", "reference"}


def test_what_packs_promise_of_bits_is_checked_on_the_device_that_is_measured(tmp_path):
    result = report.read(on_a_gpu(options(tmp_path, "promises")))
    assert result["experiments"] == []
    assert {row["variant"]: (row["promised"], row["holds"]) for row in result["promises"]} == {
        "own": (True, True),
        "bmm": (False, True),
        "branches": (True, True),
    }
    assert all(len(row["digests"]) == 6 for row in result["promises"])
    assert "| dense adam | own | yes | nowhere | yes |" in report.markdown(result)


def test_a_promise_that_breaks_is_said(monkeypatch):
    broken = {"alone": "a", "first of eight slots": "b"}
    monkeypatch.setattr(promises, "circumstances", lambda *_: broken)
    own, library, _ = promises.check_all("cpu", lambda _: None, ("dense adam",))
    assert (own["differing"], own["holds"]) == (["first of eight slots"], False)
    assert (library["differing"], library["holds"]) == (["first of eight slots"], True)


def test_every_contestant_of_every_experiment_has_a_name_of_its_own(tmp_path):
    for experiment in (*cpu_experiments(Options()), *gpu_experiments(Options())):
        names = [entry.name for entry in experiment.line_up(tmp_path, tmp_path)]
        assert len(names) == len(set(names))
        assert "reference" in names


def test_a_gpus_packs_reach_from_1_to_256():
    sizes = set()
    for experiment in gpu_experiments(Options()):
        if experiment.name.startswith("lenet"):
            names = [entry.name for entry in experiment.line_up(Path(), Path())]
            sizes |= {int(name.split("G=")[1]) for name in names if name.startswith("ours pack own")}
    assert sizes == {1, 2, 4, 8, 16, 32, 64, 128, 256}


def test_pictures_are_read_back_as_they_were_written(tmp_path):
    arrays = made_up((1, 28, 28), 30, 10)
    assert read_mnist(tmp_path) is None
    write_mnist(tmp_path, arrays)
    found = read_mnist(tmp_path)
    assert found is not None
    assert all((found[name] == array).all() for name, array in arrays.items())


def test_an_engine_is_equivalent_to_itself_and_a_worse_one_is_not(tmp_path):
    pin(1)
    arrays = made_up((1, 28, 28), 200, 50)
    info = describe("made-up", arrays)
    data, spec = load(info, arrays), PRESETS["lenet-mnist"]().spec
    lineages = [lineage_of(spec, info, i, steps=4, eval_every=2, batch_size=10) for i in range(2)]
    found = [search("reference", lineage, data, (0, 2)) for lineage in lineages]
    again = [search("reference", lineage, data, (0, 2)) for lineage in lineages]
    overlaps = [overlap(a[2][1], b[2][1]) for a, b in zip(found, again, strict=True)]
    assert overlaps == [1.0, 1.0]
    assert 0 < overlap(found[0][2][1], found[1][2][1]) < 1
    levels = [each[2][0] for each in found]
    same = verdict(levels, [each[2][0] for each in again], overlaps, 0.005)
    assert same["holds"]
    worse = [type(one)(**{**vars(one), "end_accuracy": one.end_accuracy - 0.1}) for one in levels]
    assert not verdict(worse, levels, overlaps, 0.005)["holds"]
    fewer = [type(one)(**{**vars(one), "kept": {**one.kept, "fc1.weight": 1}}) for one in levels]
    assert not verdict(fewer, levels, overlaps, 0.005)["holds"]
