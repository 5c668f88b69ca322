"""What every result says of the machine and the code that it was measured with."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]


def said(words: Sequence[str]) -> str:
    """Return what a command prints, nothing where it cannot be run."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, cwd=REPOSITORY, check=False)
    except OSError:
        return ""
    return done.stdout.strip()


def commit() -> str:
    """Return the commit that is checked out."""
    return said(["git", "rev-parse", "HEAD"])


def is_dirty() -> bool:
    """Tell whether files that git knows differ from it."""
    return bool(said(["git", "status", "--porcelain", "--untracked-files=no"]))


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Return the versions of Python and of those packages that are installed."""
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def cpu_model() -> str:
    """Return what the processor calls itself."""
    info = Path("/proc/cpuinfo")
    for line in info.read_text().splitlines() if info.exists() else []:
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown"
