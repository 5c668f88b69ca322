"""The local Ray cluster of one machine: loopback only, own ports, own temporary folder, token authentication."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

from service.settings import Settings
from workers import ray_session
from workers.children import Child, spawn

OBJECT_STORE_BYTES = 128 * 1024 * 1024
"""Ray's own object store; blobs travel by name, so little is needed."""
STARTED = b"Ray runtime started."
TOKEN_BYTES = 32
MAX_SOCKET_PATH_BYTES = 107
LONGEST_SOCKET_BYTES = len("/session_2026-11-22_13-38-16_375794_1234567/sockets/plasma_store")


def home_id(home: Path) -> str:
    """A short name of a home folder, the same on every start."""
    return hashlib.sha256(os.fsencode(home)).hexdigest()[:12]


class LocalRay:
    """Starts the cluster as a child and tells when it is ready; another start makes a new cluster.

    Attributes:
        tag: In the environment of all its processes, whatever group they are in.
        folder: Temporary files and sockets of the cluster.
        ready_file: Holds the address once the cluster can be joined.
        address: `host:port` of its head.

    Args:
        settings: CPUs, GPUs and the home folder.
        env: Environment of the dispatcher's children.
    """

    def __init__(self, settings: Settings, env: Mapping[str, str]) -> None:
        self._settings = settings
        self.tag = f"LTH_RAY={home_id(settings.home)}"
        name, value = self.tag.split("=", 1)
        self._env = {**env, name: value}
        self.folder = _folder_of(settings.home)
        self._log = settings.home / "logs" / "ray.log"
        self._log_start = 0
        self._is_ready = False
        self.ready_file = settings.home / "run" / "ray.ready"
        self.address = ""

    def start(self) -> Child:
        """Start a fresh cluster; an earlier one must be dead."""
        self.clean()
        self._is_ready = False
        self.folder.mkdir(mode=0o700, parents=True)
        self._log.parent.mkdir(parents=True, exist_ok=True)
        self._log_start = self._log.stat().st_size if self._log.exists() else 0
        ports = _free_ports(5)
        self.address = f"{ray_session.LOOPBACK}:{ports[0]}"
        return spawn("ray", self._command(ports), self._env, self._log)

    @property
    def is_ready(self) -> bool:
        """Whether the cluster can be joined; the first time that it can, its address is put into the ready file."""
        if self._is_ready:
            return True
        with contextlib.suppress(FileNotFoundError), self._log.open("rb") as log:
            log.seek(self._log_start)
            self._is_ready = STARTED in log.read()
        if self._is_ready:
            draft = self.ready_file.with_suffix(".new")
            draft.write_text(self.address)
            draft.replace(self.ready_file)
        return self._is_ready

    @property
    def is_damaged(self) -> bool:
        """Whether somebody removed the sockets of a running cluster, on which no new worker can join."""
        return self._is_ready and not (self.folder / "session_latest" / "sockets" / "raylet").exists()

    def clean(self) -> None:
        """Remove the temporary folder of a dead cluster."""
        self.ready_file.unlink(missing_ok=True)
        if self.folder.is_symlink():
            self.folder.unlink()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _command(self, ports: list[int]) -> list[str]:
        gcs, metrics, agent, agent_grpc, runtime_env = ports
        num_cpus = self._settings.num_cpus or os.cpu_count() or 1
        return [
            *(sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block"),
            f"--node-ip-address={ray_session.LOOPBACK}",
            f"--port={gcs}",
            f"--num-cpus={num_cpus}",
            f"--num-gpus={self._settings.num_gpus}",
            f"--temp-dir={self.folder}",
            f"--object-store-memory={OBJECT_STORE_BYTES}",
            "--min-worker-port=0",
            "--max-worker-port=0",
            f"--metrics-export-port={metrics}",
            f"--dashboard-agent-listen-port={agent}",
            f"--dashboard-agent-grpc-port={agent_grpc}",
            f"--runtime-env-agent-port={runtime_env}",
            "--no-monitor",
            "--include-dashboard=false",
            "--include-log-monitor=false",
            "--disable-usage-stats",
        ]


def _folder_of(home: Path) -> Path:
    """A folder in which Ray's sockets have names that the kernel accepts: in the home, or a short one beside it."""
    folder = home / "run" / "ray"
    if len(os.fsencode(folder)) + LONGEST_SOCKET_BYTES <= MAX_SOCKET_PATH_BYTES:
        return folder
    return Path("/tmp") / f"lth-ray-{os.getuid()}-{home_id(home)}"  # noqa: S108 - nothing else is as short


def make_token(file: Path) -> Path:
    """Create the cluster's token at the first start, readable by the owner only."""
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
    except FileExistsError:
        return file
    with os.fdopen(descriptor, "w") as out:
        out.write(secrets.token_hex(TOKEN_BYTES))
    return file


def _free_ports(num: int) -> list[int]:
    sockets = [socket.socket() for _ in range(num)]
    try:
        for one in sockets:
            one.bind((ray_session.LOOPBACK, 0))
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()
