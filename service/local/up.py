"""`lth up`: the whole service on one machine, with everything that it is made of started, kept alive and ended."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from service.local import processes, reaper
from service.local.home import CannotStart, Home
from service.local.stack import children, environment, python_path, url_of
from service.local.supervisor import Supervisor, last_words

TEND_S = 0.1


@dataclass(frozen=True)
class UpOptions:
    """How to start the service.

    Attributes:
        home: Where everything lies.
        port: Port of the API; 0 takes a free one, None the one of `LTH_LISTEN`, by default 8420.
        num_gpus: GPUs to give to the local Ray; None as `LTH_NUM_GPUS` says, by default none.
    """

    home: Home
    port: int | None = None
    num_gpus: int | None = None

    def argv(self) -> list[str]:
        """Command line of a process that serves with these options."""
        words = ["--home", str(self.home.path)]
        words += [] if self.num_gpus is None else ["--gpus", str(self.num_gpus)]
        words += [] if self.port is None else ["--port", str(self.port)]
        return [sys.executable, "-m", "service.local.up", *words]

    @staticmethod
    def env() -> dict[str, str]:
        """Environment of such a process."""
        return {**os.environ, **python_path()}


def serve(options: UpOptions, say: Callable[[str], None], announce: Callable[[dict[str, Any]], None]) -> None:
    """Run the service until SIGTERM, SIGINT or SIGHUP, and end everything that was started.

    Args:
        options: How to start.
        say: Told what happens to the processes, in sentences.
        announce: Told once that the service is ready, with the note of `up.json`.

    Raises:
        CannotStart: If the home or the port is taken, or a process does not come up.
    """
    home = options.home
    home.make()
    lock = home.lock()
    try:
        with _stop_wishes() as stopped, environment(home, options.port, options.num_gpus) as env:
            _clear_leftovers(home)
            home.make_pepper()
            _run(home, env, stopped, say, announce)
    finally:
        home.env_file.unlink(missing_ok=True)
        home.up_file.unlink(missing_ok=True)
        os.close(lock)


def _run(
    home: Home,
    env: dict[str, str],
    stopped: Callable[[], bool],
    say: Callable[[str], None],
    announce: Callable[[dict[str, Any]], None],
) -> None:
    tag = f"LTH_RUN={env['LTH_RUN']}"
    url = url_of(env["LTH_LISTEN"])
    supervisor = Supervisor(children(home, env), tag, say=say)
    home.write(home.env_file, {k: v for k, v in env.items() if k.startswith("LTH_") and k != "LTH_RUN"})
    note: dict[str, Any] = {
        "run": env["LTH_RUN"],
        "pid": os.getpid(),
        "url": url,
        "admin": env["LTH_ADMIN_LISTEN"],
        "started_at": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "ready": False,
        "children": {},
    }
    home.write(home.up_file, note)
    with _reaper(tag):
        try:
            supervisor.start(wanted=lambda: not stopped())
            note |= {"ready": True, "children": supervisor.pids()}
            home.write(home.up_file, note)
            if not stopped():
                announce(note)
            while not stopped():
                if supervisor.tend():
                    home.write(home.up_file, note | {"children": supervisor.pids()})
                time.sleep(TEND_S)
        finally:
            supervisor.stop()


@contextlib.contextmanager
def _stop_wishes() -> Iterator[Callable[[], bool]]:
    """Turn the signals that end a program into a flag."""
    wishes: list[int] = []
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {number: signal.signal(number, lambda got, _frame: wishes.append(got)) for number in numbers}
    try:
        yield lambda: bool(wishes)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _reaper(tag: str) -> Iterator[None]:
    """A small process that outlives a killed supervisor just long enough to kill what else is left of the run."""
    child = reaper.start(tag, os.environ | python_path())
    try:
        yield
    finally:
        assert child.stdin is not None
        child.stdin.close()
        child.wait()


def _clear_leftovers(home: Home) -> None:
    """End what an earlier run left behind when even its reaper was killed."""
    note = home.read(home.up_file)
    if note and note.get("run"):
        processes.kill_tagged(f"LTH_RUN={note['run']}")


def wait_until_ready(home: Home, process: subprocess.Popen[bytes], log: Path) -> dict[str, Any]:
    """The note of a service that another process is starting.

    Raises:
        CannotStart: If that process ends instead.
    """
    while process.poll() is None:
        note = home.read(home.up_file)
        if note and note.get("ready") and note.get("pid") == process.pid:
            return note
        time.sleep(0.1)
    raise CannotStart(last_words(log))


def stop(home: Home, patience_s: float = 60.0) -> bool:
    """End the service of a home.

    Returns:
        Whether one was running.

    Raises:
        CannotStart: If it does not end.
    """
    note = home.read(home.up_file)
    if not home.is_held() or not note:
        return False
    processes.signal_all([int(note["pid"])], signal.SIGTERM)
    deadline = time.monotonic() + patience_s
    while home.is_held():
        if time.monotonic() > deadline:
            raise CannotStart(f"process {note['pid']} did not end within {patience_s:g} s; see {home.logs}")
        time.sleep(0.1)
    return True


def main() -> None:
    """Serve without a terminal, for `lth up --detach` and `lth demo`."""
    parser = argparse.ArgumentParser(prog="python -m service.local.up")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--port", type=int)
    parser.add_argument("--gpus", type=int)
    given = parser.parse_args()
    options = UpOptions(Home.at(given.home), given.port, given.gpus)

    def say(text: str) -> None:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()

    try:
        serve(options, say, lambda note: say(f"READY {note['url']}"))
    except CannotStart as error:
        say(str(error))
        sys.exit(1)


if __name__ == "__main__":
    main()
