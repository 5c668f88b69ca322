"""A Ray cluster of several nodes on this machine: a head without CPUs, and workers that join, drain and die."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from service.local.processes import kill_tagged, start
from tests.support.autoscaling import Autoscaling
from tests.support.processes import free_port
from workers.ray_local import STARTED, make_token
from workers.ray_session import LOOPBACK, environment

START_S = 90.0
DRAIN_S = 10
"""How long a node that was told to go lets its engines train on."""
OBJECT_STORE_BYTES = 80_000_000


@dataclass(eq=False)
class RayNode:
    """One node: `ray start --block` with a raylet and workers below it.

    Attributes:
        name: What the service calls the machine.
        tag: In the environment of all its processes.
        process: Of `ray start`.
        log: What it wrote.
    """

    name: str
    tag: str
    process: subprocess.Popen[bytes]
    log: Path

    def wait_until_started(self) -> None:
        """Return when it has joined."""
        deadline_s = time.monotonic() + START_S
        while STARTED not in self.log.read_bytes():
            lives = self.process.poll() is None and time.monotonic() < deadline_s
            assert lives, f"{self.name} did not join: {self.log.read_text()[-2000:]}"
            time.sleep(0.1)

    def processes(self, *words: str) -> list[psutil.Process]:
        """Living processes of the node whose command line or title holds all the words."""
        found = []
        with contextlib.suppress(psutil.NoSuchProcess):
            for process in psutil.Process(self.process.pid).children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    line = " ".join(process.cmdline())
                    if all(word in line for word in words):
                        found.append(process)
        return found

    def kill(self) -> None:
        """End the node as a power cut would: everything at once, without a word to the others."""
        below = [process.pid for process in self.processes()]
        kill_tagged(self.tag, extra=[self.process.pid, *below], settle_s=0.2)
        self.process.wait(10)

    def drain(self) -> None:
        """Tell the node to go, as a cloud does that takes a machine away, and return at once."""
        self.process.send_signal(signal.SIGTERM)


class RayNodes:
    """The cluster; every node has ports, a home and temporary files of its own, and all need the same token.

    Args:
        folder: For everything; its name must be short, sockets lie below it.
        environ: What engines and trials find in their environment, beside their home.
        autoscaling: Lets Ray's autoscaler start and end worker nodes, too.
    """

    def __init__(self, folder: Path, environ: Mapping[str, str], autoscaling: Autoscaling | None = None) -> None:
        self._folder = folder
        self._run = uuid.uuid4().hex
        self.token = make_token(folder / "token")
        self.environ = environment(str(self.token), loopback=True)
        self._environ = {**os.environ, **environ, **self.environ}
        self._environ["RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"] = str(DRAIN_S)
        self._numbers = itertools.count(1)
        self.workers: list[RayNode] = []
        port = free_port()
        self.address = f"{LOOPBACK}:{port}"
        own = [f"--node-ip-address={LOOPBACK}", f"--port={port}", "--include-dashboard=false"]
        if autoscaling is None:
            self.head = self._start("head", 0, ["--head", *own, "--no-monitor"])
        else:
            config = autoscaling.write(folder / "autoscaling.json", self.address)
            options = ["--head", *own, f"--autoscaling-config={config}"]
            self.head = self._start("head", 0, options, autoscaling.environ)
        self.head.wait_until_started()

    def add(self, num: int = 1, num_cpus: int = 1) -> list[RayNode]:
        """Let nodes join; return when they have."""
        options = [f"--address={self.address}", f"--node-ip-address={LOOPBACK}"]
        added = [self._start(f"node-{next(self._numbers)}", num_cpus, options) for _ in range(num)]
        self.workers += added
        for node in added:
            node.wait_until_started()
        return added

    def kill(self, node: RayNode) -> None:
        """Lose a node."""
        self.workers.remove(node)
        node.kill()

    def wait_until_gone(self, node: RayNode) -> None:
        """Wait for the end of a node that was told to go."""
        self.workers.remove(node)
        node.process.wait(DRAIN_S + START_S)
        node.kill()

    def close(self) -> None:
        """End every node that is left."""
        for node in [*self.workers, self.head]:
            node.kill()

    def _start(
        self, name: str, num_cpus: int, options: Sequence[str], environ: Mapping[str, str] | None = None
    ) -> RayNode:
        home = self._folder / name
        home.mkdir()
        tag_name, tag = "LTH_NODE_RUN", f"{self._run}:{name}"
        own = {"HOME": str(home), "LTH_HOME": str(home), "LTH_NODE_NAME": name, tag_name: tag}
        command = [
            *(sys.executable, "-m", "tests.support.ray_start", "start", "--block", *options),
            f"--num-cpus={num_cpus}",
            "--num-gpus=0",
            f"--temp-dir={home / 'ray'}",
            f"--object-store-memory={OBJECT_STORE_BYTES}",
            "--min-worker-port=0",
            "--max-worker-port=0",
            "--include-log-monitor=false",
            "--disable-usage-stats",
        ]
        log = home / "node.log"
        log.touch()
        process = start(command, {**self._environ, **own, **(environ or {})}, log)
        return RayNode(name, f"{tag_name}={tag}", process, log)
