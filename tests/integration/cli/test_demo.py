"""`lth demo`, shortened: from nothing to a verified ticket, and everything ended afterwards."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil

SHORT = ("prune.levels=2", "train.steps=60", "train.eval_every=20", "replicates=2", 'treatments=["random_reinit"]')


def test_the_demo_ends_with_a_plot_and_a_verified_ticket_and_leaves_nothing(tmp_path: Path) -> None:
    changes = [word for change in SHORT for word in ("--set", change)]
    argv = [sys.executable, "-m", "service.cli.main", "demo", "--out", str(tmp_path / "out"), *changes]
    env = {name: value for name, value in os.environ.items() if not name.startswith("LTH_")}
    env |= {"LTH_DEMO_TEST": str(tmp_path)}
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=240, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    for word in ("density", "0.6400", "ticket", "reinit", "verified", "lenet-digits.png"):
        assert word in done.stdout, word
    assert (tmp_path / "out" / "lenet-digits.png").stat().st_size > 10_000
    [ticket] = (tmp_path / "out").glob("tkt_*")
    layers = json.loads((ticket / "manifest.json").read_text())["core"]["layers"]
    assert [layer["name"] for layer in layers] == ["fc1.weight", "fc2.weight", "out.weight"]
    assert {path.name for path in ticket.iterdir()} >= {"mask.safetensors", "rewind.safetensors"}
    mine = [p for p in psutil.process_iter() if str(tmp_path) in environment(p).get("LTH_DEMO_TEST", "")]
    assert mine == []


def environment(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except psutil.Error:
        return {}
