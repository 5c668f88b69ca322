"""A whole service under test: `lth up` in a home of its own, its processes, and HTTP to talk to it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.support.rest import Rest

START_S = 120


@dataclass
class Stack(Rest):
    """A running `lth up` and the ways tests reach into it."""

    home: Path
    url: str
    process: subprocess.Popen[str]
    log: Path

    def processes(self, *words: str) -> list[psutil.Process]:
        """Return the processes below `lth up` whose command line holds all the words."""
        found = []
        for process in psutil.Process(self.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                line = " ".join(process.cmdline())
                if all(word in line for word in words):
                    found.append(process)
        return found

    def objects(self, pattern: str) -> list[Path]:
        """Return files of the object store by glob."""
        return sorted((self.home / "objects").glob(pattern))

    def stop(self) -> int:
        """End the service as a user would, and make sure that nothing is left."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait(10)
        _, alive = psutil.wait_procs(children, timeout=10)
        for process in alive:
            with contextlib.suppress(psutil.Error):
                process.kill()
        assert not [p for p in alive if p.status() != psutil.STATUS_ZOMBIE], f"left behind: {alive}"
        return code


def start_stack(home: Path, **settings: str) -> Stack:
    """Start `lth up` on a free port and wait until it says that it is ready."""
    log = home.parent / f"{home.name}.log"
    env = {**os.environ, "HOME": str(home.parent), **{f"LTH_{k.upper()}": v for k, v in settings.items()}}
    command = [sys.executable, "-m", "service.cli.main", "up", "--home", str(home), "--port", "0"]
    with log.open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=env, text=True)
    deadline = time.monotonic() + START_S
    info = home / "run" / "up.json"
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError, ValueError, KeyError):
            url = str(json.loads(info.read_text())["url"])
            with urllib.request.urlopen(f"{url}/readyz", timeout=5) as answer:  # noqa: S310
                if answer.status == 200:
                    return Stack(home, url, process, log)
        time.sleep(0.1)
    process.kill()
    raise AssertionError(f"the service did not start; its log ends: {log.read_text()[-3000:]}")


@contextlib.contextmanager
def running_stack(home: Path, **settings: str) -> Iterator[Stack]:
    """Run a service for the length of a block."""
    stack = start_stack(home, **settings)
    try:
        yield stack
    finally:
        stack.stop()
