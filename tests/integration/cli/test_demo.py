"""`lth demo`, shortened: from nothing to a verified ticket, and everything ended afterwards."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

SHORT = ("prune.levels=2", "train.steps=60", "train.eval_every=20", "replicates=2", 'treatments=["random_reinit"]')


def start_demo(tmp_path: Path, *words: str) -> subprocess.Popen[str]:
    argv = [sys.executable, "-m", "service.cli.main", "demo", "--out", str(tmp_path / "out"), *words]
    env = {name: value for name, value in os.environ.items() if not name.startswith("LTH_")}
    env |= {"LTH_DEMO_TEST": str(tmp_path)}
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env)


def left_behind(tmp_path: Path) -> list[psutil.Process]:
    return [p for p in psutil.process_iter() if environment(p).get("LTH_DEMO_TEST") == str(tmp_path)]


def environment(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except psutil.Error:
        return {}


def test_the_demo_ends_with_a_plot_and_a_verified_ticket_and_leaves_nothing(tmp_path: Path) -> None:
    demo = start_demo(tmp_path, *(word for change in SHORT for word in ("--set", change)))
    text, _ = demo.communicate(timeout=280)
    assert demo.returncode == 0, text
    for word in ("density", "0.6434", "ticket", "reinit", "verified", "lenet-digits.png"):
        assert word in text, word
    assert (tmp_path / "out" / "lenet-digits.png").stat().st_size > 10_000
    [ticket] = (tmp_path / "out").glob("tkt_*")
    layers = json.loads((ticket / "manifest.json").read_text())["core"]["layers"]
    assert [layer["name"] for layer in layers] == ["fc1.weight", "fc2.weight", "out.weight"]
    assert {path.name for path in ticket.iterdir()} >= {"mask.safetensors", "rewind.safetensors"}
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_an_interrupted_demo_ends_everything(tmp_path: Path, number: signal.Signals) -> None:
    demo = start_demo(tmp_path)
    assert demo.stdout is not None
    for line in demo.stdout:
        if line.startswith("srch_") or "search.queued" in line:
            break
    demo.send_signal(number)
    text, _ = demo.communicate(timeout=120)
    assert demo.returncode == 130, text
    assert left_behind(tmp_path) == []
