"""Drivers: at most so many, one per search, back after a death, and never for ever."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from workers.children import Child, spawn
from workers.fleet import MAX_CRASHES, Fleet

A, B, C = (("local", name) for name in "abc")


@pytest.fixture
def started(tmp_path: Path) -> list[Child]:
    """Children that were started, each of which sleeps."""
    del tmp_path
    return []


def make_fleet(started: list[Child], folder: Path, max_drivers: int = 2) -> Fleet:
    """A fleet whose drivers do nothing."""

    def start(name: tuple[str, str]) -> Child:
        child = spawn(name[1], [sys.executable, "-c", "input()"], {}, folder / "log")
        started.append(child)
        return child

    return Fleet(max_drivers, start)


def test_no_more_drivers_than_allowed_and_one_per_search(started: list[Child], tmp_path: Path) -> None:
    fleet = make_fleet(started, tmp_path)
    assert fleet.launch([A, A, B, C]) == [A, B]
    assert fleet.launch([A, B, C]) == []
    fleet.kill_all()
    assert fleet.launch([C]) == [C]
    fleet.kill_all()
    assert all(child.exit_code is not None for child in started)


def test_a_dead_driver_comes_back_after_a_pause(started: list[Child], tmp_path: Path) -> None:
    fleet = make_fleet(started, tmp_path)
    fleet.launch([A])
    started[0].process.kill()
    started[0].process.wait()
    ((name, code, lived_s),) = fleet.reap()
    assert (name, code) == (A, -9)
    assert not fleet.crashed(name, code, lived_s, levels_done=0)
    assert fleet.launch([A]) == []


def test_crashes_without_progress_are_poison_and_progress_forgives(started: list[Child], tmp_path: Path) -> None:
    fleet = make_fleet(started, tmp_path)
    verdicts = [fleet.crashed(A, 1, 0.0, levels_done=3) for _ in range(MAX_CRASHES - 1)]
    verdicts += [fleet.crashed(A, 1, 0.0, levels_done=done) for done in (4, 5, 6)]
    assert not any(verdicts)
    verdicts = [fleet.crashed(A, 1, 0.0, levels_done=6) for _ in range(MAX_CRASHES)]
    assert verdicts[-1]


def test_the_loss_of_the_cluster_is_nobodys_crash(started: list[Child], tmp_path: Path) -> None:
    fleet = make_fleet(started, tmp_path)
    assert not any(fleet.crashed(A, code, 0.0, levels_done=0) for code in (3, 4) * 10)


def test_a_child_dies_when_its_parent_is_killed(tmp_path: Path) -> None:
    log = str(tmp_path / "log")
    script = (
        "import sys, time; from pathlib import Path; from workers.children import spawn;"
        f"child = spawn('x', [sys.executable, '-c', 'import time; time.sleep(60)'], {{}}, Path({log!r}));"
        "print(child.process.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
        parent.wait()
    assert _is_gone(child)


def _is_gone(pid: int) -> bool:
    import time

    from service.local.processes import is_alive

    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        if not is_alive(pid):
            return True
        time.sleep(0.02)
    return False
