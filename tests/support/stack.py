"""A whole service under test: `lth up` in a home of its own, its processes, and HTTP to talk to it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

TERMINAL = {"succeeded", "partial", "failed", "cancelled"}
START_S = 120


@dataclass
class Answer:
    """One HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """Decode the body."""
        return json.loads(self.body)


@dataclass
class Stack:
    """A running `lth up` and the ways tests reach into it."""

    home: Path
    url: str
    process: subprocess.Popen[str]
    log: Path
    posted: list[str] = field(default_factory=list)

    def request(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None, timeout_s: float = 35
    ) -> Answer:
        """Send one request; `body` is JSON unless it is bytes. Error statuses are answers, not exceptions."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        sent = {"Content-Type": "application/json"} if data is not None else {}
        request = urllib.request.Request(  # noqa: S310
            self.url + path, data=data, method=method, headers={**sent, **(headers or {})}
        )
        try:
            with urllib.request.urlopen(request, timeout=timeout_s) as answer:  # noqa: S310
                return Answer(answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, {k.lower(): v for k, v in error.headers.items()}, error.read())

    def get(self, path: str) -> Any:
        """GET JSON and insist on success."""
        answer = self.request("GET", path)
        assert answer.status == 200, (path, answer.status, answer.body[:2000])
        return answer.json()

    def pages(self, path: str) -> list[dict[str, Any]]:
        """Read every page of a list."""
        rows: list[dict[str, Any]] = []
        after = ""
        while True:
            mark = "&" if "?" in path else "?"
            page = self.get(f"{path}{mark}limit=200{after}")
            rows += page["data"]
            if not page["has_more"]:
                return rows
            after = f"&after={page['next_after']}"

    def submit(self, body: dict[str, Any], key: str | None = None) -> str:
        """POST a search and return its id."""
        answer = self.request("POST", "/v1/searches", body, {"Idempotency-Key": key} if key else None)
        assert answer.status in (200, 202), (answer.status, answer.body[:2000])
        search = str(answer.json()["id"])
        self.posted.append(search)
        return search

    def wait(self, search: str, timeout_s: float = 240) -> dict[str, Any]:
        """Poll a search, through faults, until it is terminal."""
        return self.until(search, lambda doc: doc["status"] in TERMINAL, timeout_s)

    def until(self, search: str, reached: Callable[[dict[str, Any]], bool], timeout_s: float = 240) -> dict[str, Any]:
        """Poll a search until its document satisfies a condition; an API that is down is asked again."""
        deadline = time.monotonic() + timeout_s
        last: Any = None
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, ValueError):
                answer = self.request("GET", f"/v1/searches/{search}", timeout_s=10)
                last = answer.json()
                if answer.status == 200 and reached(last):
                    return dict(last)
            time.sleep(0.25)
        raise AssertionError(f"search {search} did not get there in {timeout_s} s; last: {json.dumps(last)[:1500]}")

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

    def masks(self, search: str) -> dict[tuple[str, int, int, int], str]:
        """Return the mask digest of every committed level by (treatment, replicate, repeat, level)."""
        found = {}
        for lineage in self.pages(f"/v1/searches/{search}/lineages"):
            for level in self.pages(f"/v1/searches/{search}/lineages/{lineage['id']}/levels"):
                if level["status"] == "committed":
                    name = (lineage["treatment"], lineage["replicate"], lineage["repeat"], level["level"])
                    found[name] = level["mask_sha256"]
        return found

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
