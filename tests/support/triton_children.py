"""Triton kernels in a process of their own, and their launches compiled for a GPU that is not there."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from tests.support.requires import require

ROOT = Path(__file__).parents[2]
TYPES = {torch.float32: "*fp32", torch.int32: "*i32", torch.uint8: "*u8"}


def run(module: str, mode: str, **environment: str) -> Any:
    """Run a module and return the JSON that it prints: Triton reads its environment when it is imported."""
    require(importlib.util.find_spec("triton"), "triton is not installed")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **environment}
    done = subprocess.run(
        [sys.executable, "-m", module, mode], env=environment, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


class Recorder:
    """Stands where a kernel is and notes what it would have been launched with."""

    def __init__(self, kernel: Any) -> None:
        self.kernel = kernel
        self.launches: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def __getitem__(self, grid: tuple[int, ...]) -> Any:
        return lambda *args, **options: self.launches.append((args, options))


def recorded(module: ModuleType, names: Iterable[str]) -> dict[str, Recorder]:
    """Put recorders in the place of a module's kernels, for the rest of the process."""
    recorders = {name: Recorder(getattr(module, name)) for name in names}
    for name, recorder in recorders.items():
        setattr(module, name, recorder)
    return recorders


def compiled(kernel: Any, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """Compile one launch for compute capability 9.0."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource, compile  # noqa: A004 - Triton's name for it

    own = kernel.arg_names
    given = dict(zip(own, args, strict=False))
    compiled_with = {key: options[key] for key in ("num_warps", "enable_fp_fusion")}
    constants = {key: value for key, value in options.items() if key not in compiled_with}
    signature = {key: TYPES[value.dtype] if torch.is_tensor(value) else "i32" for key, value in given.items()}
    signature |= dict.fromkeys(constants, "constexpr")
    aligned = [["tt.divisibility", 16]]
    source = ASTSource(
        fn=kernel,
        signature={key: signature[key] for key in own},
        constexprs={(own.index(key),): value for key, value in constants.items()},
        attrs={(own.index(key),): aligned for key, value in given.items() if torch.is_tensor(value)},
    )
    found = compile(source, target=GPUTarget("cuda", 90, 32), options=compiled_with)
    assert found.asm["cubin"]
    return found
