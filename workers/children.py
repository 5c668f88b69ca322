"""Children of the dispatcher: tagged, in process groups of their own, and never outliving it.

Three things see to that: a pipe on the child's stdin that only the dispatcher holds open, the kernel's death signal,
and the tag in the environment, by which a later dispatcher finds and kills what was left all the same.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from service.local.processes import die_with_parent


@dataclass
class Child:
    """A process that the dispatcher started.

    Attributes:
        name: For people.
        process: The process, leader of its group.
        started_at_s: When it was started.
    """

    name: str
    process: subprocess.Popen[bytes]
    started_at_s: float = field(default_factory=time.monotonic)

    @property
    def exit_code(self) -> int | None:
        """Its exit code, None while it runs."""
        return self.process.poll()

    def tell(self, word: str) -> bool:
        """Write a line to its stdin; tell whether it still listened."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(f"{word}\n".encode())
            self.process.stdin.flush()
        except BrokenPipeError:
            return False
        return True

    def kill(self) -> None:
        """Kill it with its whole group, at once."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        if self.process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):  # of a word that was never read
                self.process.stdin.close()
        self.process.wait()


def spawn(name: str, argv: Sequence[str], env: Mapping[str, str], log: Path) -> Child:
    """Start a child; call it from the main thread, whose end the kernel takes for the parent's.

    Args:
        name: For people.
        argv: Program and arguments.
        env: Its whole environment.
        log: File that its output is appended to.
    """
    parent = os.getpid()
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        process = subprocess.Popen(
            argv,
            env=dict(env),
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=subprocess.STDOUT,
            process_group=0,
            preexec_fn=lambda: die_with_parent(parent),
        )
    return Child(name, process)


def module(name: str, *arguments: str) -> list[str]:
    """Command line that runs a module with this Python."""
    return [sys.executable, "-m", name, *arguments]
