"""Processes of one run: started so that none survives its parent, found again by their tag, ended for certain."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence, Set
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def die_with_parent(parent: int) -> None:
    """Let the kernel end this process with its parent's calling thread; for use between fork and exec."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


def start(
    argv: Sequence[str], env: Mapping[str, str], log: Path | None, cwd: Path | None = None
) -> subprocess.Popen[bytes]:
    """Start a child in its own process group that dies with the calling thread.

    Args:
        argv: Program and arguments.
        env: The whole environment of the child.
        log: File that stdout and stderr are appended to; None drops them.
        cwd: Where it runs.
    """
    parent = os.getpid()
    with contextlib.ExitStack() as stack:
        out = subprocess.DEVNULL if log is None else stack.enter_context(log.open("ab"))
        return subprocess.Popen(
            argv,
            env=dict(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            process_group=0,
            preexec_fn=lambda: die_with_parent(parent),
        )


def tagged(tag: str) -> set[int]:
    """Ids of all processes that were started with `tag` (`NAME=value`) in their environment (Linux)."""
    needle = tag.encode()
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if needle in (folder / "environ").read_bytes().split(b"\0"):
                found.add(int(folder.name))
    return found - {os.getpid()}


def descendants(root: int) -> set[int]:
    """Ids of all living processes below `root` (Linux)."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError):
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            children.setdefault(int(fields[1]), []).append(int(folder.name))
    found: set[int] = set()
    front = [root]
    while front:
        front = [child for parent in front for child in children.get(parent, []) if child not in found]
        found.update(front)
    return found


def is_alive(pid: int) -> bool:
    """Whether the process exists and is no zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return not Path("/proc/self").exists()


def signal_all(pids: Iterable[int], number: signal.Signals) -> None:
    """Send a signal to those that still exist."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def groups_of(pids: Iterable[int]) -> set[int]:
    """Process groups of those of the processes that still exist, the caller's own left out."""
    found = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            found.add(os.getpgid(pid))
    return found - {os.getpgrp()}


def members(groups: Set[int]) -> set[int]:
    """Ids of all living processes of some process groups (Linux)."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*") if groups else ():
        with contextlib.suppress(OSError, ValueError, IndexError):
            state, _, group = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
            if int(group) in groups and state not in "ZX":
                found.add(int(folder.name))
    return found


def kill_tagged(
    tag: str, extra: Iterable[int] = (), groups: Set[int] = frozenset(), patience_s: float = 10.0, settle_s: float = 0.0
) -> None:
    """Kill every process of a run, again and again until none is left (a dying parent may still have started one).

    Args:
        tag: `NAME=value` in the environment of all processes of the run.
        extra: Processes to kill beside them.
        groups: Process groups to kill beside them: a process that sets its own title may lose its environment.
        patience_s: When to stop trying.
        settle_s: How long none must have been found: a process that is just being started has no environment yet.
    """
    started_s = found_s = time.monotonic()
    while (now_s := time.monotonic()) - started_s < patience_s:
        left = {pid for pid in tagged(tag) | set(extra) | members(groups) if is_alive(pid)}
        if left:
            signal_all(left, signal.SIGKILL)
            found_s = now_s
        elif now_s - found_s >= settle_s:
            return
        time.sleep(0.05)
