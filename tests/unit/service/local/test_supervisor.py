"""The supervisor with real child processes: restarts, orderly ends, and nothing left behind."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from service.local import processes
from service.local.supervisor import ChildSpec, StartFailed, Supervisor
from tests.support.requires import require

SLEEP = "import time; time.sleep(600)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
)
WITH_STRAY = (
    "import subprocess, sys, time;"
    "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True);"
    "print('up', flush=True); time.sleep(600)"
)


@pytest.fixture
def tag() -> Iterator[str]:
    require(sys.platform == "linux", "processes are found through /proc")
    name = f"LTH_RUN={secrets.token_hex(6)}"
    yield name
    processes.kill_tagged(name)


def spec(tmp_path: Path, tag: str, code: str, name: str = "child", wait_for: str = "") -> ChildSpec:
    log = tmp_path / f"{name}.log"
    env = {**os.environ, "LTH_RUN": tag.removeprefix("LTH_RUN=")}

    def ready() -> bool:
        return wait_for in log.read_text()

    return ChildSpec(name, (sys.executable, "-c", code), env, log, ready, ready_timeout_s=20)


def until(reached: Callable[[], object], timeout_s: float = 20) -> None:
    deadline = time.monotonic() + timeout_s
    while not reached():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def test_a_killed_child_is_restarted_and_its_death_is_told(tmp_path: Path, tag: str) -> None:
    told: list[str] = []
    supervisor = Supervisor([spec(tmp_path, tag, SLEEP)], tag, say=told.append, first_backoff_s=0.05)
    supervisor.start()
    first = supervisor.pids()["child"]
    os.kill(first, signal.SIGKILL)
    until(supervisor.tend)
    assert supervisor.pids()["child"] != first
    assert "child ended with exit code -9" in told[0]
    supervisor.stop()


def test_a_child_that_keeps_dying_is_restarted_ever_more_slowly(tmp_path: Path, tag: str) -> None:
    told: list[str] = []
    supervisor = Supervisor(
        [spec(tmp_path, tag, "raise SystemExit(7)")], tag, say=told.append, first_backoff_s=0.02, longest_backoff_s=0.06
    )
    supervisor.start()

    def four_deaths() -> bool:
        supervisor.tend()
        return len(told) >= 4

    until(four_deaths)
    pauses = [text.split("restarting in ")[1].split(" s")[0] for text in told[:4]]
    assert pauses == ["0.02", "0.04", "0.06", "0.06"]
    supervisor.stop()


def test_the_next_child_starts_when_the_one_before_is_ready(tmp_path: Path, tag: str) -> None:
    slow = "import time; time.sleep(0.3); print('ready', flush=True); time.sleep(600)"
    check = f"print('ready' in open({str(tmp_path / 'slow.log')!r}).read(), flush=True); import time; time.sleep(600)"
    specs = [spec(tmp_path, tag, slow, "slow", "ready"), spec(tmp_path, tag, check, "next", "\n")]
    supervisor = Supervisor(specs, tag)
    supervisor.start()
    assert (tmp_path / "next.log").read_text() == "True\n"
    supervisor.stop()


def test_a_child_that_dies_while_starting_is_told_with_its_last_words(tmp_path: Path, tag: str) -> None:
    code = "import sys; print('the port is taken'); sys.exit(3)"
    supervisor = Supervisor([spec(tmp_path, tag, code, "api", "ready")], tag)
    with pytest.raises(StartFailed, match=r"api ended with exit code 3: the port is taken"):
        supervisor.start()
    supervisor.stop()


def test_only_the_words_since_the_last_start_are_told(tmp_path: Path, tag: str) -> None:
    (tmp_path / "child.log").write_text("words of an earlier life\n")
    told: list[str] = []
    code = "print('new words'); raise SystemExit(1)"
    supervisor = Supervisor([spec(tmp_path, tag, code)], tag, say=told.append)
    supervisor.start()
    until(lambda: (supervisor.tend(), told)[1])
    assert told[0].endswith(": new words")
    supervisor.stop()


def test_stop_ends_stubborn_children_and_their_strays(
    tmp_path: Path, tag: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.local.supervisor.GRACE_S", 0.3)
    specs = [spec(tmp_path, tag, STUBBORN, "stubborn", "up"), spec(tmp_path, tag, WITH_STRAY, "parent", "up")]
    supervisor = Supervisor(specs, tag)
    supervisor.start()
    until(lambda: len(processes.tagged(tag)) == 3)
    everything = processes.tagged(tag)
    supervisor.stop()
    assert not [pid for pid in everything if processes.is_alive(pid)]


def test_children_die_with_a_killed_supervisor(tmp_path: Path, tag: str) -> None:
    run_id = tag.removeprefix("LTH_RUN=")
    code = (
        "import os, sys, time\n"
        "from pathlib import Path\n"
        "from service.local import processes\n"
        f"env = {{**os.environ, 'LTH_RUN': {run_id!r}}}\n"
        f"child = processes.start([sys.executable, '-c', {SLEEP!r}], env, None)\n"
        f"Path({str(tmp_path / 'pid')!r}).write_text(str(child.pid))\n"
        "time.sleep(600)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code])
    until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    child = int((tmp_path / "pid").read_text())
    assert processes.is_alive(child)
    parent.kill()
    parent.wait()
    until(lambda: not processes.is_alive(child))


def test_the_reaper_kills_what_outlives_its_supervisor(tag: str) -> None:
    env = {**os.environ, "LTH_RUN": tag.removeprefix("LTH_RUN=")}
    stray = subprocess.Popen([sys.executable, "-c", SLEEP], env=env, start_new_session=True)
    reaper = subprocess.Popen([sys.executable, "-m", "service.local.reaper", tag], stdin=subprocess.PIPE)
    until(lambda: processes.tagged(tag) == {stray.pid})
    assert reaper.poll() is None
    assert reaper.stdin is not None
    reaper.stdin.close()
    assert reaper.wait(20) == 0
    assert stray.wait(5) == -signal.SIGKILL
