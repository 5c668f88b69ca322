"""The environment in which bits are equal: two runs may differ in their last bits exactly if fingerprints differ."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from lth_core.engines.choice import NUMERICS_OF, EngineKind
from lth_core.native import compiled

SWITCHES = (
    "ATEN_CPU_CAPABILITY",
    "CUBLAS_WORKSPACE_CONFIG",
    "DNNL_MAX_CPU_ISA",
    "KMP_AFFINITY",
    "MKL_CBWR",
    "MKL_DYNAMIC",
    "MKL_ENABLE_INSTRUCTIONS",
    "NVIDIA_TF32_OVERRIDE",
    "ONEDNN_MAX_CPU_ISA",
    "OPENBLAS_CORETYPE",
)
"""Environment variables that change which arithmetic is used."""

GPU_SWITCHES = ("CUBLAS_WORKSPACE_CONFIG", "NVIDIA_TF32_OVERRIDE")
"""Those of them that only a GPU's arithmetic looks at."""


def fingerprint(
    device: torch.device | str, environ: Mapping[str, str], *, engine: EngineKind = "reference"
) -> dict[str, Any]:
    """Describe the environment of a training; call it in the process that trains, after `pin`.

    Args:
        device: Where the training runs.
        environ: The process's environment; only `SWITCHES` are read from it.
        engine: Which engine trains.
    """
    device = torch.device(device)
    found: dict[str, Any] = {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "platform": f"{platform.system()}-{platform.machine()}",
        "device": "cpu",
        "isa": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "interop_threads": torch.get_num_interop_threads(),
        "mkl": bool(torch.backends.mkl.is_available()),  # type: ignore[no-untyped-call]
        "onednn": bool(torch.backends.mkldnn.is_available()),  # type: ignore[no-untyped-call]
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "switches": {name: environ[name] for name in _switches(device) if name in environ},
        "engine": engine,
        "kernel": _kernel(engine),
        "numerics": NUMERICS_OF[engine],
    }
    if device.type == "cuda":
        found.update(_gpu(device))
    return found


def _kernel(engine: EngineKind) -> str:
    """Return a name for the code that does an engine's arithmetic."""
    if engine == "cpu":
        return f"native-{compiled.identity()[:16]}"
    return {"reference": "torch-autograd", "conv": "torch-by-hand", "pack": "pack"}[engine]


def _switches(device: torch.device) -> tuple[str, ...]:
    """Return the switches that matter on a device: those of a GPU change nothing on a CPU."""
    return SWITCHES if device.type == "cuda" else tuple(n for n in SWITCHES if n not in GPU_SWITCHES)


def _gpu(device: torch.device) -> dict[str, Any]:
    properties = torch.cuda.get_device_properties(device)
    return {
        "device": properties.name,
        "capability": f"{properties.major}.{properties.minor}",
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
        "cudnn_deterministic": torch.backends.cudnn.deterministic,
        "tf32": torch.backends.cuda.matmul.allow_tf32 or torch.backends.cudnn.allow_tf32,
    }
