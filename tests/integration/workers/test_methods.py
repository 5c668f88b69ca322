"""Every way of finding and starting a ticket gives through engines the bits that one process gives by itself."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.works import TENANT, Works, blobs, search_body

TRAIN = {"steps": 24, "eval_every": 8, "batch_size": 20, "lr": 0.01}
SHORT = {"steps": 8, "eval_every": 4}
BODIES: dict[str, dict[str, Any]] = {
    "trained weights go on": {
        "train": {**TRAIN, "milestones": [16], "warmup_steps": 4, "weight_decay": 0.01},
        "rewind": {"step": 6, "mode": "lr"},
        "treatments": ["reset", "identity"],
    },
    "one shot, its controls and other batches": {
        "method": "one_shot",
        "train": {**TRAIN, "schedule": "cosine", "label_smoothing": 0.1},
        "prune": {"densities": [0.5, 0.2]},
        "treatments": ["invert_scores", "reordered", "frozen"],
        "keep": "all",
    },
    "before training": {
        "method": "snip",
        "train": TRAIN,
        "prune": {"densities": [0.5, 0.2], "scope": "global", "score_batches": 2},
        "treatments": [{"name": "noise", "sigma": 2.0}],
    },
    "while training": {
        "method": "gradual",
        "train": TRAIN,
        "prune": {"densities": [0.5, 0.2], "begin_step": 4, "every": 3},
        "treatments": ["reset"],
    },
    "batch norm, augmentation and a restored optimizer": {
        "model": {"name": "resnet_20_4"},
        "train": {
            **TRAIN,
            "steps": 8,
            "eval_every": 4,
            "optimizer": "sgd",
            "momentum": 0.9,
            "flip": True,
            "crop_padding": 1,
        },
        "prune": {"levels": 2, "fraction": 0.4, "output_fraction": 0, "scope": "global"},
        "rewind": {"step": 3, "optimizer": "restore"},
        "treatments": ["random_reinit"],
    },
}
WHAT_TRAVELS = ("trained weights go on", "while training", "batch norm, augmentation and a restored optimizer")
"""Searches whose trials hand on more than masks: trained weights, their state, statistics, a mask that tightens."""
THE_OTHERS = tuple(name for name in BODIES if name not in WHAT_TRAVELS)
Cores = dict[tuple[str, int], str]
RUN_ALL = "import sys; from lth_core.run import main\nfor line in sys.stdin: assert main(line.split()) == 0"


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "names",
    [pytest.param(WHAT_TRAVELS, id="what travels"), pytest.param(THE_OTHERS, id="others", marks=pytest.mark.chaos)],
)
def test_every_method_mode_and_control_has_the_bits_of_one_process(
    works: Works, tmp_path: Path, names: tuple[str, ...]
) -> None:
    bodies = {name: {"replicates": [30], **BODIES[name]} for name in names}
    searches = {name: works.submit(body) for name, body in bodies.items()}
    for name, search in searches.items():
        assert works.wait(search, timeout_s=300)["status"] == "succeeded", (name, works.log_tail())
    expected = by_itself(tmp_path, bodies)
    for name, search in searches.items():
        found = cores(works, search)
        assert found == {key: expected[name][key] for key in found}, name
        assert found.keys() == expected[name].keys(), name


def test_a_transferred_ticket_trains_through_engines_as_in_one_process(works: Works, tmp_path: Path) -> None:
    found = works.submit({"replicates": [31], "treatments": []})
    works.wait(found)
    (chain,) = works.lineages(found)
    page = works.call(works.record.tickets(TENANT, limit=200, search=found))
    ticket = next(one for one in page.data if one["level"] == 2)
    spec = {"method": "transfer", "init": {"ticket": ticket["id"]}, "prune": {"levels": 1}, "replicates": [32]}
    moved = works.submit({**spec, "train": {**TRAIN, "lr": 0.02}})
    assert works.wait(moved)["status"] == "succeeded", works.log_tail()
    manifest = works.home / "objects" / "lineages" / "local" / chain["key"].removeprefix("sha256:") / "L002.json"
    expected = by_itself(tmp_path, {"moved": {**spec, "train": {**TRAIN, "lr": 0.02}}}, "--init", str(manifest))
    assert cores(works, moved) == expected["moved"]


@pytest.mark.chaos
@pytest.mark.parametrize("victim", ["workers.driver", "ray::EngineProcess"])
def test_a_killed_process_costs_a_chain_of_trained_weights_no_bit(works: Works, tmp_path: Path, victim: str) -> None:
    slow = {"steps": 200_000, "eval_every": 25_000, "batch_size": 20, "lr": 0.003}
    replicate = 33 if victim == "workers.driver" else 34
    spec: dict[str, Any] = {"train": slow, "rewind": {"mode": "lr"}, "treatments": ["identity"]}
    search = works.submit({**spec, "replicates": [replicate]})
    works.until(search, lambda document: document["progress"]["levels_done"] >= 2)
    works.kill(victim)
    assert works.wait(search)["status"] == "succeeded", works.log_tail()
    assert cores(works, search) == by_itself(tmp_path, {"lr": {**spec, "replicates": [replicate]}})["lr"]


def cores(works: Works, search: str) -> Cores:
    """Digest of the core of every level of a search, by key and level: it holds those of masks and weights."""
    keys = {name.removeprefix("sha256:") for one in works.lineages(search) for name in (one["key"], one["dense_key"])}
    return {(key, level): found["core_sha256"] for key in keys for level, found in works.manifests(key).items()}


def by_itself(
    folder: Path, specs: Mapping[str, Mapping[str, Any]], *more: str
) -> dict[str, dict[tuple[str, int], str]]:
    """The same, of searches that one process computed without any service."""
    np.savez(folder / "blobs.npz", **blobs())
    outs: dict[str, Path] = {}
    lines = []
    for number, (name, spec) in enumerate(specs.items()):
        body, outs[name] = folder / f"{number}.json", folder / f"out{number}"
        body.write_text(json.dumps(search_body(dict(spec))))
        lines.append(" ".join([str(body), "--out", str(outs[name]), "--data", str(folder / "blobs.npz"), *more]))
    subprocess.run([sys.executable, "-c", RUN_ALL], input="\n".join(lines), text=True, check=True, capture_output=True)
    return {
        name: {
            (manifest["core"]["key"], manifest["core"]["level"]): manifest["core_sha256"]
            for manifest in (json.loads(path.read_bytes()) for path in out.glob("lineages/local/*/L*.json"))
        }
        for name, out in outs.items()
    }
