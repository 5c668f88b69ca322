"""`python -m service.local.reaper TAG`: waits for the end of a supervisor and kills what else is left of its run."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping

from service.local import processes

LOOK_EVERY_S = 1.0
"""How often the reaper looks which process groups belong to the run."""
SETTLE_S = 1.0
"""How long no process of the run must have been seen before the reaper believes that all are gone."""


def start(tag: str, env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start a reaper for the processes that carry a tag; it acts when the caller ends or closes its stdin.

    Args:
        tag: `NAME=value`, which must not stand in `env`.
        env: The reaper's whole environment.
    """
    argv = [sys.executable, "-m", "service.local.reaper", tag]
    return subprocess.Popen(argv, stdin=subprocess.PIPE, env=dict(env), start_new_session=True)


def main() -> None:
    """Wait for the end of stdin, which only the supervisor holds open, then clean up."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    tag = sys.argv[1]
    groups: set[int] = set()
    while not _has_ended():
        # A group that has members cannot be another's; one without members is forgotten before its number returns.
        groups = processes.groups_of(processes.members(groups) | processes.tagged(tag))
    processes.kill_tagged(tag, groups=groups, settle_s=SETTLE_S)


def _has_ended() -> bool:
    """Wait for a look around; tell whether the supervisor has ended meanwhile."""
    readable, _, _ = select.select([0], [], [], LOOK_EVERY_S)
    return bool(readable) and not os.read(0, 1024)


if __name__ == "__main__":
    main()
