"""What a measurement's JSON says beside the numbers, and how it is written: whole or not at all, after every step."""

from __future__ import annotations

import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import machine

PACKAGES = ("torch", "torchvision", "numpy", "pillow", "scipy", "triton", "jax")


def environment(device: str) -> dict[str, Any]:
    """Return commit, time, machine and versions."""
    import torch

    found: dict[str, Any] = {
        "at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "commit": machine.commit(),
        "dirty": machine.is_dirty(),
        "machine": {
            "cpu": machine.cpu_model(),
            "isa": torch.backends.cpu.get_cpu_capability(),
            "cores": os.cpu_count(),
            "threads": 1,
            "load": os.getloadavg(),
            "system": platform.platform(terse=True),
            "caches": _caches(),
        },
        "versions": machine.versions(PACKAGES),
        "device": device,
        "precision": "float32, TF32 off",
    }
    if device == "cuda":
        found["machine"]["gpu"] = torch.cuda.get_device_name()
        found["machine"]["cuda"] = torch.version.cuda
        found["machine"]["gpu_state"] = machine.said(
            ["nvidia-smi", "--query-gpu=driver_version,clocks.sm,clocks.mem,power.limit", "--format=csv"]
        )
    return found


def new_path(folder: Path, name: str) -> Path:
    """Return `<date>-<name>.json` in a folder, numbered where it exists already."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{datetime.now(UTC):%Y-%m-%d}-{name}"
    taken = {path.stem for path in folder.glob(f"{stem}*.json")}
    numbered = [stem, *(f"{stem}-{i}" for i in range(2, len(taken) + 3))]
    return folder / f"{next(each for each in numbered if each not in taken)}.json"


def write(path: Path, document: dict[str, Any]) -> None:
    """Replace a file in one step."""
    draft = path.with_suffix(".tmp")
    draft.write_text(json.dumps(document, indent=1) + "\n")
    draft.replace(path)


def _caches() -> dict[str, str]:
    found = {}
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = ((index / name).read_text().strip() for name in ("level", "type", "size"))
        found[f"L{level} {kind.lower()}"] = size
    return found
