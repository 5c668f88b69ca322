"""How a measurement is kept: one JSON file with the numbers, the machine, the versions and the commit."""

from __future__ import annotations

import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import machine

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("fastapi", "numpy", "pydantic", "ray", "redis", "torch", "torchvision", "uvicorn")


def write_result(name: str, claim: str, numbers: dict[str, Any]) -> Path:
    """Write `<date>-<name>.json` beside the claim, and return its path."""
    record = {
        "name": name,
        "claim": claim,
        "at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "commit": machine.commit(),
        "dirty": machine.is_dirty(),
        "machine": {"cpu": machine.cpu_model(), "cores": os.cpu_count(), "system": platform.platform(terse=True)},
        "versions": machine.versions(PACKAGES),
        **numbers,
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{datetime.now(UTC):%Y-%m-%d}-{name}.json"
    path.write_text(json.dumps(record, indent=1) + "\n")
    return path
