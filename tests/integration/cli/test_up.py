"""`lth up` with everything real: it restarts what dies, ends what it started, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from service.local import processes
from tests.support.stack import Stack, start_stack


def lth(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "service.cli.main", *words, "--home", str(home)]
    env = {name: value for name, value in os.environ.items() if not name.startswith("LTH_")}
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=150, env=env)


def note(home: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((home / "run" / "up.json").read_text())
    return found


def until(reached: Callable[[], object], timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not reached():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


def everything_of(stack: Stack) -> list[psutil.Process]:
    return psutil.Process(stack.process.pid).children(recursive=True)


def gone(some: list[psutil.Process]) -> bool:
    return not [process for process in some if processes.is_alive(process.pid)]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = start_stack(tmp_path_factory.mktemp("up") / "home")
    yield stack
    if stack.process.poll() is None:
        stack.stop()


def test_it_says_ready_only_when_the_service_is(stack: Stack) -> None:
    until(lambda: f"READY {stack.url}" in stack.log.read_text())
    assert stack.get("/readyz")["status"] == "ok"
    assert note(stack.home)["ready"] is True


@pytest.mark.parametrize("name", ["api", "valkey", "dispatcher"])
def test_a_killed_process_is_restarted_and_the_service_answers_again(stack: Stack, name: str) -> None:
    before = note(stack.home)["children"][name]
    os.kill(before, signal.SIGKILL)
    until(lambda: note(stack.home)["children"].get(name, before) != before)

    def ready() -> bool:
        try:
            return bool(stack.get("/readyz")["status"] == "ok")
        except (OSError, AssertionError):
            return False

    until(ready)
    assert f"{name} ended with exit code -9" in stack.log.read_text()


def test_commands_find_the_service_by_its_home(stack: Stack) -> None:
    assert "lenet-digits" in lth(stack.home, "preset", "ls").stdout
    estimate = json.loads(lth(stack.home, "submit", "--preset", "lenet-digits", "--estimate", "--json").stdout)
    assert estimate["lineages"] == 9
    refused = lth(stack.home, "submit", "--preset", "lenet-digits", "--set", "prune.fraction=1")
    assert refused.returncode == 2
    assert "/spec/prune/fraction" in refused.stderr


def test_keys_and_rebuild_go_through_the_admin_socket(stack: Stack) -> None:
    made = json.loads(lth(stack.home, "keys", "create", "--tenant", "alice", "--json").stdout)
    assert made["key"].startswith("lth_")
    assert made["id"] in lth(stack.home, "keys", "ls").stdout
    assert lth(stack.home, "keys", "revoke", made["id"]).returncode == 0
    assert json.loads(lth(stack.home, "admin", "rebuild", "--json").stdout)["generation"]


def test_a_second_service_on_the_same_home_or_port_is_refused(stack: Stack, tmp_path: Path) -> None:
    same_home = lth(stack.home, "up", "--port", "0")
    assert same_home.returncode == 1
    assert "already in use" in same_home.stderr
    same_port = lth(tmp_path / "other", "up", "--port", stack.url.rpartition(":")[2])
    assert same_port.returncode == 1
    assert "--port 0" in same_port.stderr


def test_doctor_finds_nothing_to_mend(stack: Stack) -> None:
    found = {one["name"]: one["state"] for one in json.loads(lth(stack.home, "doctor", "--json").stdout)}
    assert found["service"] == "ok"
    assert found["store"] == "ok"
    assert "bad" not in found.values()


def test_sigterm_ends_everything_with_exit_0(stack: Stack) -> None:
    everything = everything_of(stack)
    assert len(everything) >= 4
    stack.process.send_signal(signal.SIGTERM)
    assert stack.process.wait(60) == 0
    assert gone(everything)
    assert not (stack.home / "run" / "up.json").exists()


def test_a_detached_service_is_stopped_by_down(tmp_path: Path) -> None:
    home = tmp_path / "home"
    up = json.loads(lth(home, "up", "--detach", "--port", "0", "--json").stdout)
    everything = [psutil.Process(up["pid"]), *psutil.Process(up["pid"]).children(recursive=True)]
    assert lth(home, "ls", "--json").stdout.strip() == "[]"
    assert json.loads(lth(home, "down", "--json").stdout)["stopped"] is True
    until(lambda: gone(everything), 10)
    assert json.loads(lth(home, "down", "--json").stdout)["stopped"] is False


def test_nothing_survives_a_killed_supervisor_and_the_next_one_starts(tmp_path: Path) -> None:
    first = start_stack(tmp_path / "home")
    until(lambda: first.processes("raylet"), 60)
    everything = everything_of(first)
    first.process.kill()
    first.process.wait(10)
    until(lambda: gone(everything), 30)
    second = start_stack(tmp_path / "home")
    assert second.get("/readyz")["status"] == "ok"
    assert second.stop() == 0
