"""Contestants as child processes: started once, asked many times, ended with the measurement."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.engine.protocol import AbsentError, Spent
from benchmarks.engine.work import Arrays, read_arrays

REPOSITORY = Path(__file__).parents[2]
SETTINGS = {
    **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"),
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
}
"""One thread each, repeatable products, and no process takes a GPU's memory for itself alone."""


@dataclass(frozen=True)
class Entry:
    """One contestant as the harness sees it.

    Attributes:
        name: What tables call it.
        command: Its program and options, without the work folder.
        dense: Whether its cost ignores masks, so that a few levels stand for all.
        updates_survivors: Whether, though its products are dense, only survivors are updated and remembered.
        tests: Whether its evaluations leave out the test set, which is then added to a lineage's cost.
        environment: Further variables of its process.
        folder: Where it runs; None for the repository.
        absent: Why it cannot even be started; None if it can.
    """

    name: str
    command: tuple[str, ...]
    dense: bool = True
    updates_survivors: bool = False
    tests: bool = True
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None
    absent: str | None = None

    @property
    def traits(self) -> dict[str, bool]:
        """What a result says of it, beside what it says of itself."""
        return {"dense": self.dense, "updates_survivors": self.updates_survivors, "tests": self.tests}


def module(name: str, *options: str) -> tuple[str, ...]:
    """Return the command of a contestant of this package."""
    return sys.executable, "-m", f"benchmarks.engine.contestants.{name}", *options


class Child:
    """A contestant's process; `wait_until_ready` before anything else is asked of it.

    Every question raises `AbsentError` where the contestant does not take part, or has ended; its message says why.
    """

    def __init__(self, entry: Entry, work: Path, log: Path) -> None:
        if entry.absent is not None:
            raise AbsentError(entry.absent)
        self.entry = entry
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [*entry.command, "--work", str(work)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                cwd=entry.folder or REPOSITORY,
                env={**os.environ, **SETTINGS, "PYTHONPATH": str(REPOSITORY), **entry.environment},
            )
        self.facts: dict[str, Any] = {}
        self.num_replicates = 0

    def wait_until_ready(self) -> None:
        """Wait until it has opened the work; it ends if it cannot."""
        try:
            self.facts = self._read()
        except AbsentError:
            self.close()
            raise
        self.num_replicates = int(self.facts["num_replicates"])

    def window(self, level: int, *, evaluate: bool, warmup: int, steps: int) -> Spent:
        """Time a window, see `Contestant.window`."""
        return Spent(
            **self._ask({"ask": "window", "level": level, "evaluate": evaluate, "warmup": warmup, "steps": steps})
        )

    def score(self, level: int) -> Spent:
        """Time one evaluation, see `Contestant.score`."""
        return Spent(**self._ask({"ask": "score", "level": level}))

    def first_steps(self, level: int, steps: int, into: Path) -> list[Arrays]:
        """Return the weights of every replicate after the first steps."""
        into.mkdir(parents=True, exist_ok=True)
        found = self._ask({"ask": "first_steps", "level": level, "steps": steps, "into": str(into)})
        return [read_arrays(into / f"weights-{replicate}.npz") for replicate in range(found["num_written"])]

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise AbsentError("it has ended") from None
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise AbsentError(f"it ended with status {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        if "cannot" in answer:
            raise AbsentError(answer["cannot"])
        return answer


def start_all(
    entries: Sequence[Entry], work: Path, logs: Path, *, only: Sequence[str] = ()
) -> tuple[dict[str, Child], dict[str, str]]:
    """Start contestants; return those that take part, and the reasons of those that do not."""
    logs.mkdir(parents=True, exist_ok=True)
    running: dict[str, Child] = {}
    absent: dict[str, str] = {}
    for entry in entries:
        if only and entry.name not in only:
            continue
        try:
            running[entry.name] = Child(entry, work, logs / f"{entry.name.replace(' ', '-')}.log")
        except (AbsentError, OSError) as reason:
            absent[entry.name] = str(reason)
    for name, child in list(running.items()):
        try:
            child.wait_until_ready()
        except AbsentError as reason:
            absent[name] = str(reason)
            del running[name]
    return running, absent
