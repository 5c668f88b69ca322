"""Claim: the API's image installs without torch and ray, adds under 300 MB to its base, and imports within 3 seconds.

The steps of the build stage of `deploy/images/api.Dockerfile` are read from it and run as they stand in a clean virtual
environment, with the files that it copies and no others; then its server is imported there.

    python -m benchmarks.api_image
"""

from __future__ import annotations

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.machine import REPOSITORY
from benchmarks.result import write_result

DOCKERFILE = REPOSITORY / "deploy" / "images" / "api.Dockerfile"
PREFIX = "/opt/lth"
MOST_BYTES = 300_000_000
MOST_IMPORT_S = 3.0
ABSENT = ("torch", "ray", "torchvision", "pandas", "pyarrow")
NUM_IMPORTS = 5


def build_stage() -> list[str]:
    """Return the instructions of the Dockerfile's first stage, continued lines joined."""
    text = DOCKERFILE.read_text().split("FROM ")[1]
    lines = [line for line in text.splitlines()[1:] if not line.startswith("#")]
    return [line.strip() for line in re.sub(r"\\\s*\n", " ", "\n".join(lines)).splitlines() if line.strip()]


def run_stage(source: Path, prefix: Path) -> list[str]:
    """Run the stage's COPY and RUN instructions; return the commands that were run.

    Args:
        source: Takes the place of the working directory.
        prefix: Takes the place of the environment's folder.
    """
    done = []
    for instruction in build_stage():
        kind, _, rest = instruction.partition(" ")
        if kind == "COPY":
            *names, target = rest.split()
            for name in names:
                found = REPOSITORY / name
                if found.is_dir():
                    ignored = shutil.ignore_patterns("__pycache__", "*.so", "*.pyc")
                    shutil.copytree(found, source / target, ignore=ignored)
                else:
                    shutil.copy(found, source / name)
        elif kind == "RUN":
            command = rest.replace(PREFIX, str(prefix))
            if command.startswith("python "):
                command = sys.executable + command.removeprefix("python")
            subprocess.run(["/bin/sh", "-ec", command], cwd=source, check=True, stdout=subprocess.DEVNULL)
            done.append(rest)
    return done


def size_of(folder: Path) -> int:
    """Return the bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def seconds_to_import(python: Path) -> float:
    """Return how long a fresh interpreter takes to import the server, without its own start."""
    code = "import time; t = time.perf_counter(); import service.api.server; print(time.perf_counter() - t)"
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True, cwd="/", env=environ)
    return float(done.stdout)


def packages(python: Path) -> list[str]:
    """Return the names of what is installed."""
    code = "import importlib.metadata as m; print(*sorted({d.metadata['Name'].lower() for d in m.distributions()}))"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True, cwd="/")
    return done.stdout.split()


def measure() -> dict[str, Any]:
    """Run the steps; return sizes, times and the verdict."""
    with tempfile.TemporaryDirectory() as name:
        source, prefix = Path(name) / "source", Path(name) / "lth"
        source.mkdir()
        begun_s = time.monotonic()
        commands = run_stage(source, prefix)
        took_s = time.monotonic() - begun_s
        python = prefix / "bin" / "python"
        found = packages(python)
        imports_s = [seconds_to_import(python) for _ in range(NUM_IMPORTS)]
        size = size_of(prefix)
    median_s = statistics.median(imports_s)
    return {
        "commands": commands,
        "install_s": round(took_s, 1),
        "bytes": size,
        "packages": found,
        "import_s": [round(one, 3) for one in imports_s],
        "median_import_s": round(median_s, 3),
        "gates": {
            "without_torch_and_ray": not set(ABSENT) & set(found),
            "small": size < MOST_BYTES,
            "imports_soon": median_s < MOST_IMPORT_S,
        },
    }


def main() -> int:
    """Measure and keep the result; returns the exit status, 1 if the claim fails."""
    numbers = measure()
    print(json.dumps(numbers, indent=1))
    print(write_result("api-image", (__doc__ or "").splitlines()[0], numbers))
    return 0 if all(numbers["gates"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
