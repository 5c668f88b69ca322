"""Every Triton kernel is the function of its name in plain torch, and compiles for the GPUs it is written for."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.requires import require

ROOT = Path(__file__).parents[5]


def child(mode: str, **environment: str) -> Any:
    """Run the kernels in a process of their own: Triton reads its environment when it is imported."""
    require(importlib.util.find_spec("triton"), "triton is not installed")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **environment}
    command = [sys.executable, "-m", "tests.unit.lth_core.engines.pack.kernel_child", mode]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.timeout(900)
def test_interpreted_kernels_agree_with_plain_torch_and_leave_other_slots_alone():
    answers = child("interpret", TRITON_INTERPRET="1")
    assert len(answers) == 4
    for answer in answers:
        errors = answer["errors"]
        assert errors.pop("before") == 0
        assert errors.pop("correct") == errors.pop("right") == 0, answer
        assert errors.pop("scores") < 1e-4, answer
        assert max(errors.values()) < 1e-6, answer
        assert answer["moved"] > 1e-3, answer
        assert answer["inactive moved"] == 0, answer
        assert answer["sick is nan"], answer
        assert answer["well are finite"], answer


@pytest.mark.timeout(900)
def test_kernels_compile_for_compute_capability_9_without_a_gpu(tmp_path):
    names = child("compile", TRITON_CACHE_DIR=str(tmp_path), TRITON_INTERPRET="0")
    assert {name: names.count(name) for name in names} == {
        "forward_kernel": 2,
        "loss_kernel": 2,
        "backward_kernel": 1,
        "update_kernel": 2,
    }
