"""The front stays light: its process imports neither torch nor ray."""

from __future__ import annotations

import subprocess
import sys

PROBE = """
import sys
import service.api.server, service.api.app
heavy = {"torch", "ray", "torchvision", "sklearn", "scipy", "matplotlib"} & set(sys.modules)
sys.exit(f"imported: {sorted(heavy)}" if heavy else 0)
"""


def test_the_api_process_imports_neither_torch_nor_ray() -> None:
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
