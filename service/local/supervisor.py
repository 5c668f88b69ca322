"""Keeps a handful of processes alive: starts them in order, restarts the dead with back-off, and ends them all."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from service.local import processes
from service.local.home import CannotStart

HEALTHY_S = 30.0
"""A child that lived this long starts with a fresh back-off."""
GRACE_S = 12.0
"""Time between TERM and KILL."""


class StartFailed(CannotStart):
    """A child did not become ready."""


@dataclass(frozen=True)
class ChildSpec:
    """One process to keep alive.

    Attributes:
        name: Also the name of its log file.
        argv: Program and arguments.
        env: Its whole environment.
        log: File for its output.
        ready: Tells whether it does its work; the next child starts only then.
        ready_timeout_s: Patience with that.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    log: Path
    ready: Callable[[], bool] = lambda: True
    ready_timeout_s: float = 30.0


@dataclass
class Child:
    """A process that is kept alive, and how often it has died lately."""

    spec: ChildSpec
    process: subprocess.Popen[bytes] | None = None
    started_at_s: float = 0.0
    log_begin_bytes: int = 0
    num_deaths: int = 0
    restart_at_s: float = 0.0

    def last_words(self) -> str:
        """The end of what it has written since it was started last."""
        return last_words(self.spec.log, self.log_begin_bytes)


class Supervisor:
    """Starts, watches and ends children; everything happens in the calling thread.

    Args:
        specs: What to run, in starting order; ended in the reverse order.
        tag: `NAME=value` in the environment of every process of the run, by which strays are found.
        say: Told of deaths, in sentences.
        first_backoff_s: Pause before the first restart; doubles with each death up to `longest_backoff_s`.
    """

    def __init__(
        self,
        specs: list[ChildSpec],
        tag: str,
        *,
        say: Callable[[str], None] = lambda _text: None,
        first_backoff_s: float = 0.5,
        longest_backoff_s: float = 15.0,
    ) -> None:
        self.children = [Child(spec) for spec in specs]
        self._tag = tag
        self._say = say
        self._first_backoff_s = first_backoff_s
        self._longest_backoff_s = longest_backoff_s

    def pids(self) -> dict[str, int]:
        """Ids of the living children by name."""
        return {c.spec.name: c.process.pid for c in self.children if c.process and c.process.poll() is None}

    def start(self, wanted: Callable[[], bool] = lambda: True) -> None:
        """Start all children in order, each when the one before is ready; stop early when no longer wanted.

        Raises:
            StartFailed: If a child dies or is not ready in time; the message ends with its last words.
        """
        for child in self.children:
            self._spawn(child)
            deadline = time.monotonic() + child.spec.ready_timeout_s
            while not child.spec.ready():
                if not wanted():
                    return
                assert child.process is not None
                code = child.process.poll()
                if code is not None:
                    raise StartFailed(f"{child.spec.name} ended with exit code {code}: {child.last_words()}")
                if time.monotonic() > deadline:
                    wait = child.spec.ready_timeout_s
                    raise StartFailed(f"{child.spec.name} was not ready after {wait:g} s: {child.last_words()}")
                time.sleep(0.05)

    def tend(self) -> bool:
        """Look at every child once; restart what died and has waited long enough.

        Returns:
            Whether a process was started.
        """
        started = False
        for child in self.children:
            if child.process is not None:
                self._note_death(child)
            elif time.monotonic() >= child.restart_at_s:
                self._spawn(child)
                started = True
        return started

    def stop(self) -> None:
        """End everything: TERM in reverse order, KILL after a grace, then whatever the children left behind."""
        strays = {pid for below in self.pids().values() for pid in processes.descendants(below)}
        for child in reversed(self.children):
            if child.process is not None:
                self._end(child.process)
                child.process = None
        processes.kill_tagged(self._tag, extra=strays)

    def _spawn(self, child: Child) -> None:
        child.log_begin_bytes = child.spec.log.stat().st_size if child.spec.log.exists() else 0
        child.process = processes.start(child.spec.argv, child.spec.env, child.spec.log)
        child.started_at_s = time.monotonic()

    def _note_death(self, child: Child) -> None:
        assert child.process is not None
        code = child.process.poll()
        if code is None:
            return
        now = time.monotonic()
        child.num_deaths = 1 if now - child.started_at_s >= HEALTHY_S else child.num_deaths + 1
        doubled = self._first_backoff_s * 2.0 ** min(child.num_deaths - 1, 20)
        pause = min(self._longest_backoff_s, doubled)
        child.restart_at_s = now + pause
        child.process = None
        self._say(f"{child.spec.name} ended with exit code {code}, restarting in {pause:g} s: {child.last_words()}")

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        if process.poll() is None:
            processes.signal_all([process.pid], signal.SIGTERM)
            try:
                process.wait(GRACE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def last_words(log: Path, begin_bytes: int = 0, num_bytes: int = 1000) -> str:
    """The end of a log, in one line."""
    try:
        with log.open("rb") as file:
            file.seek(max(begin_bytes, log.stat().st_size - num_bytes))
            text = file.read().decode(errors="replace")
    except OSError:
        return "(no log)"
    lines = [line.strip() for line in text.splitlines() if line.strip(" ^~")]
    return " | ".join(lines[-2:]) or "(it wrote nothing)"
