"""How a contestant is asked: requests and answers of one JSON line each, and the clocks that time a window.

A contestant is a program of its own, so that neither its threads nor its settings reach another one, and so that it
may live in another interpreter. Needs the standard library and numpy alone.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import sys
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from benchmarks.engine.work import Arrays, Work, write_arrays

CANNOT = 3
"""Exit status of a contestant that cannot take part; its reason is the last line it answered."""


class AbsentError(RuntimeError):
    """A contestant cannot run here; the message says why."""


class Spent(NamedTuple):
    """What a window cost: CPU seconds of the process and of its children, and seconds on the wall."""

    cpu_s: float
    wall_s: float

    def since(self, earlier: Spent) -> Spent:
        """Return what was spent between two readings."""
        return Spent(self.cpu_s - earlier.cpu_s, self.wall_s - earlier.wall_s)


class Contestant(Protocol):
    """What the harness asks of every engine."""

    num_replicates: int

    def window(self, level: int, evaluate: bool, warmup: int, steps: int) -> Spent:
        """Start a level anew, train `warmup` steps, and return what the next `steps` steps cost.

        With `evaluate`, validation is measured at every multiple of the recipe's `eval_every` among them.
        """

    def score(self, level: int) -> Spent:
        """Return what one pass over the test set costs."""

    def first_steps(self, level: int, steps: int) -> list[Arrays]:
        """Return the masked weights of every replicate after the first steps of a level."""


def read_clock() -> Spent:
    """Read both clocks; children count (data loaders), those that run and those that have ended."""
    running = sum(_cpu_of(child.pid) for child in multiprocessing.active_children())
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Spent(time.process_time() + running + ended.ru_utime + ended.ru_stime, time.perf_counter())


def _cpu_of(pid: int | None) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Windowed(ABC):
    """A contestant that can train on from where it stands; subclasses say how."""

    num_replicates = 1

    def window(self, level: int, evaluate: bool, warmup: int, steps: int) -> Spent:
        """See `Contestant.window`."""
        self.begin(level, evaluate)
        self.advance(warmup)
        return self.timed(lambda: self.advance(steps))

    def timed(self, work: Callable[[], None]) -> Spent:
        """Do something that the device may still be busy with afterwards; return what it took until it was done."""
        self.synchronise()
        begun = read_clock()
        work()
        self.synchronise()
        return read_clock().since(begun)

    @abstractmethod
    def begin(self, level: int, evaluate: bool) -> None:
        """Load start and mask of a level, its optimizer fresh, at step 0."""

    @abstractmethod
    def advance(self, steps: int) -> None:
        """Train on."""

    @abstractmethod
    def score(self, level: int) -> Spent:
        """See `Contestant.score`."""

    @abstractmethod
    def first_steps(self, level: int, steps: int) -> list[Arrays]:
        """See `Contestant.first_steps`."""

    def synchronise(self) -> None:  # noqa: B027 - nothing is what a processor needs
        """Wait until the device has done what it was given."""


class Stepper(Windowed):
    """A contestant whose weights and scores can be had at any step."""

    def score(self, level: int) -> Spent:
        """See `Contestant.score`; the first pass is not timed."""
        self.begin(level, False)
        self.score_test_set()
        return self.timed(self.score_test_set)

    def first_steps(self, level: int, steps: int) -> list[Arrays]:
        """See `Contestant.first_steps`."""
        self.begin(level, False)
        self.advance(steps)
        return self.weights()

    @abstractmethod
    def score_test_set(self) -> None:
        """Measure loss and accuracy on the test set."""

    @abstractmethod
    def weights(self) -> list[Arrays]:
        """Return the masked weights of every replicate."""


def serve(open_contestant: Callable[[Work, argparse.Namespace], Contestant], *options: str) -> None:
    """Be the program of a contestant: read its options, open it, and answer until the input ends.

    Args:
        open_contestant: Makes it from the work and the options; `AbsentError` means that it does not take part.
        options: Names of further options, all of them texts.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a contestant prints must not stand between the answers
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--replicates", type=int, default=1)
    for option in options:
        parser.add_argument(f"--{option}", default="")
    args = parser.parse_args()
    status = 0
    try:
        contestant = open_contestant(Work.open(args.work), args)
        _answer(answers, {"num_replicates": contestant.num_replicates, **getattr(contestant, "facts", {})})
        for line in sys.stdin:
            _answer(answers, _reply(contestant, json.loads(line)))
    except AbsentError as reason:
        _answer(answers, {"cannot": str(reason)})
        status = CANNOT
    except Exception as error:  # noqa: BLE001 - the harness records why, and goes on with the others
        traceback.print_exc()
        _answer(answers, {"cannot": f"{type(error).__name__}: {error}"})
        status = CANNOT
    sys.exit(status)


def _reply(contestant: Contestant, request: dict[str, Any]) -> dict[str, Any]:
    kind = request.pop("ask")
    if kind == "window":
        return contestant.window(**request)._asdict()
    if kind == "score":
        return contestant.score(**request)._asdict()
    into = Path(request.pop("into"))
    found = contestant.first_steps(**request)
    for replicate, weights in enumerate(found):
        write_arrays(into / f"weights-{replicate}.npz", weights)
    return {"num_written": len(found)}


def _answer(stream: Any, document: dict[str, Any]) -> None:
    stream.write(json.dumps(document) + "\n")
    stream.flush()
