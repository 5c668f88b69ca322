"""A whole search in one process, from the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lth_core.canonical import sha256_hex
from lth_core.folder import Folder
from lth_core.manifest import core_digest
from lth_core.run import main
from tests.support.tiny import tiny_arrays

SPEC = {
    "model": {"name": "mlp", "sizes": [16, 12, 8, 3]},
    "dataset": {"name": "tiny"},
    "train": {"steps": 20, "eval_every": 5, "batch_size": 16, "lr": 0.01},
    "prune": {"levels": 2, "fraction": {"grid": [0.2, 0.5]}},
    "replicates": 2,
    "treatments": ["random_reinit", "shuffled_mask"],
}


@pytest.fixture
def spec(tmp_path):
    def write(**change):
        path = tmp_path / "spec.json"
        path.write_text(json.dumps({**SPEC, **change}))
        return str(path)

    return write


@pytest.fixture
def data(tmp_path):
    np.savez(tmp_path / "tiny.npz", **tiny_arrays())
    return str(tmp_path / "tiny.npz")


def manifests(out):
    return {
        path.relative_to(out): json.loads(path.read_bytes()) for path in sorted(out.glob("lineages/local/*/L*.json"))
    }


def test_a_search_leaves_every_level_its_blobs_and_its_results(spec, data, tmp_path, capsys):
    out = tmp_path / "out"
    assert main([spec(), "--out", str(out), "--data", data]) == 0
    found = manifests(out)
    assert len(found) == 2 + 2 * 2 * 3 * 2  # a grid over pruning shares its dense levels
    folder = Folder(out, "local")
    for path, manifest in found.items():
        core = manifest["core"]
        assert path.parts[-2:] == (core["key"], f"L{core['level']:03d}.json")
        assert core_digest(core) == manifest["core_sha256"]
        for reference in manifest["stored"].values():
            assert sha256_hex(folder.blob(reference)) == reference["sha256"]
    by_digest = {manifest["core_sha256"]: manifest["core"] for manifest in found.values()}
    for core in by_digest.values():
        if core["level"]:
            assert by_digest[core["parent"]]["level"] == core["level"] - 1
        if core["treatment"] != "winning_ticket":
            assert by_digest[core["mask_from"]]["level"] == core["level"]
            assert by_digest[core["mask_from"]]["treatment"] == "winning_ticket"
    results = json.loads(next(out.glob("searches/local/srch_*/results/*.json")).read_bytes())
    assert len(results["levels"]) == 2 * 3
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 * 2 * 3 + 2 * 2 * 2 * 2 + 1


def test_what_is_committed_is_not_computed_again_and_what_is_missing_gets_the_same_bits(spec, data, tmp_path):
    out = tmp_path / "out"
    arguments = [spec(), "--out", str(out), "--data", data]
    assert main(arguments) == 0
    before = manifests(out)
    lost = [path for path, manifest in before.items() if manifest["core"]["level"] == 2]
    for path in lost:
        (out / path).unlink()
    assert main(arguments) == 0
    after = manifests(out)
    assert {p: m["core"] for p, m in after.items()} == {p: m["core"] for p, m in before.items()}
    kept = [path for path in before if path not in lost]
    assert all(after[path] == before[path] for path in kept)
    assert len(list(out.glob("searches/local/*/results/*"))) == 1


def test_a_lineage_that_diverges_is_told_and_the_others_go_on(spec, data, tmp_path, capsys):
    wild = {
        "optimizer": "sgd",
        "lr": {"grid": [10.0, 0.1]},
        "weight_decay": 1.0,
        "steps": 60,
        "batch_size": 16,
        "eval_every": 20,
    }
    path = spec(train=wild, prune={"levels": 1}, replicates=1, treatments=[])
    assert main([path, "--out", str(tmp_path / "out"), "--data", data]) == 1
    captured = capsys.readouterr()
    assert "winning_ticket, replicate 0, level 0" in captured.err
    assert "not finite at step" in captured.err
    assert len(manifests(tmp_path / "out")) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "one_shot", "prune": {"densities": [0.5, 0.001]}}, "/prune/densities/1: must be >= "),
        ({"prune": {"fraction": 1}}, "fraction"),
        ({"model": {"name": "mlp", "sizes": [17, 3]}}, "/model"),
        ({"train": {"batch_size": 109, "steps": 100}}, "/train/batch_size"),
        ({"prune": {"exclude": ["fc7"]}}, "/prune/exclude/0"),
    ],
)
def test_wrong_input_is_told_and_ends_with_2(spec, data, tmp_path, capsys, change, message):
    assert main([spec(**change), "--out", str(tmp_path / "out"), "--data", data]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out" / "lineages").exists()


def test_a_data_set_that_is_not_given_is_told(spec, tmp_path, capsys):
    assert main([spec(), "--out", str(tmp_path / "out")]) == 2
    assert "needs --data" in capsys.readouterr().err


def test_a_damaged_blob_or_manifest_is_not_trusted(spec, data, tmp_path):
    out = tmp_path / "out"
    main([spec(replicates=1, treatments=[], prune={"levels": 1}), "--out", str(out), "--data", data])
    folder = Folder(out, "local")
    path, manifest = next((p, m) for p, m in manifests(out).items() if m["core"]["level"] == 1)
    blob = out / "blobs" / "local" / manifest["stored"]["mask"]["sha256"]
    blob.write_bytes(b"\0" * len(blob.read_bytes()))
    with pytest.raises(ValueError, match="damaged"):
        folder.blob(manifest["stored"]["mask"])
    (out / path).write_text(json.dumps({**manifest, "core": {**manifest["core"], "kept": 1}}))
    with pytest.raises(ValueError, match="damaged"):
        folder.manifest(manifest["core"]["key"], 1)


def test_the_module_runs_without_any_service(tmp_path):
    code = (
        "import sys; from lth_core import run;"
        "print({'ray', 'redis', 'fastapi', 'service', 'workers', 'obstore', 'torchvision'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


RUN_ON = {
    "lr": {"rewind": {"step": 4, "mode": "lr"}, "treatments": ["reset", "identity"]},
    "fine_tune": {"rewind": {"mode": "fine_tune"}, "treatments": []},
    "restore": {"rewind": {"step": 4, "optimizer": "restore"}, "treatments": ["frozen"]},
    "one_shot": {"method": "one_shot", "prune": {"densities": [0.5, 0.2]}, "treatments": ["invert_scores"]},
    "grasp": {"method": "grasp", "prune": {"levels": 2}, "treatments": ["random_sparse"]},
    "synflow": {"method": "synflow", "prune": {"densities": [0.5], "scope": "global"}, "treatments": []},
    "gradual": {"method": "gradual", "prune": {"densities": [0.5], "every": 2}, "treatments": ["reset"]},
    "reordered": {"treatments": ["reordered"], "keep": "all"},
}


@pytest.mark.parametrize("kind", RUN_ON)
def test_every_method_mode_and_control_runs_and_goes_on_from_what_is_committed(spec, data, tmp_path, kind):
    out = tmp_path / "out"
    change = {"replicates": 1, "prune": {"levels": 2, "fraction": 0.4}, **RUN_ON[kind]}
    assert main([spec(**change), "--out", str(out), "--data", data]) == 0
    before = manifests(out)
    levels = change["prune"].get("levels", len(change["prune"].get("densities", ())))
    controls = len(change["treatments"]) * levels + (kind == "reordered")
    assert len(before) == 1 + levels + controls
    for path, manifest in before.items():
        assert manifest["start"].keys() >= {"weights", "step", "schedule_step", "schedule", "optimizer"}
        if manifest["core"]["level"] == levels:
            (out / path).unlink()
    assert main([spec(**change), "--out", str(out), "--data", data]) == 0
    assert {p: m["core_sha256"] for p, m in manifests(out).items()} == {p: m["core_sha256"] for p, m in before.items()}


def test_a_ticket_of_another_run_is_transferred_by_its_manifest(spec, data, tmp_path, capsys):
    first, second = tmp_path / "first", tmp_path / "second"
    found = {"replicates": 1, "treatments": [], "prune": {"levels": 2, "fraction": 0.4}}
    assert main([spec(**found), "--out", str(first), "--data", data]) == 0
    path, ticket = next((p, m) for p, m in manifests(first).items() if m["core"]["level"] == 2)
    moved = {**found, "method": "transfer", "prune": {"levels": 1}, "init": {"upload": "upl_" + "0" * 26}}
    arguments = [spec(**moved), "--out", str(second), "--data", data]
    assert main(arguments) == 2
    assert "--init names the ticket" in capsys.readouterr().err
    assert main([*arguments, "--init", str(first / path)]) == 0
    dense, level = (m["core"] for _, m in sorted(manifests(second).items(), key=lambda pair: pair[1]["core"]["level"]))
    assert level["digests"]["mask"] == ticket["core"]["digests"]["mask"]
    assert dense["digests"]["rewind"] == ticket["core"]["digests"]["rewind"]
    assert main([spec(**found), "--out", str(first), "--data", data, "--init", str(first / path)]) == 2


def test_a_search_in_lockstep_leaves_the_bits_of_one_level_after_the_other(spec, data, tmp_path):
    body = json.loads(Path(spec(prune={"levels": 2})).read_text())
    path = tmp_path / "packed.json"
    path.write_text(json.dumps({"spec": body, "resources": {"engine": "pack", "device": "cpu"}}))
    cores = []
    for slots in ("1", "3", "64"):
        out = tmp_path / f"out{slots}"
        assert main([str(path), "--out", str(out), "--data", data, "--slots", slots]) == 0
        found = manifests(out)
        assert {manifest["engine"] for manifest in found.values()} == {"pack"}
        cores.append({str(name): manifest["core_sha256"] for name, manifest in found.items()})
    assert len(cores[0]) == 2 + 2 * 3 * 2
    assert cores[0] == cores[1] == cores[2]


def test_a_number_of_slots_that_is_none_is_refused(spec, data, tmp_path, capsys):
    assert main([spec(), "--out", str(tmp_path / "out"), "--data", data, "--slots", "0"]) == 2
    assert "num_slots must be >= 1, got 0" in capsys.readouterr().err
