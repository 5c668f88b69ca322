"""Failpoints: places where a test may ask the process to die, once, as by SIGKILL."""

from __future__ import annotations

import os
import signal
from pathlib import Path

NAMES = frozenset(
    f"FP_AFTER_{step}"
    for step in (
        "QUOTA",
        "CLAIM",
        "SPEC",
        "ENQUEUE",
        "EPOCH",
        "TAKEOVER",
        "BLOB",
        "HEAD",
        "MANIFEST",
        "INDEX",
        "CANCEL",
        "RESULTS",
        "TERMINAL",
    )
)


def reach(name: str) -> None:
    """Kill this process if the environment armed this failpoint and it has not fired yet.

    `LTH_FAILPOINT` names the point; `LTH_FAILPOINT_ONCE` is the file whose creation makes it fire at most once.
    """
    assert name in NAMES, name
    if os.environ.get("LTH_FAILPOINT") != name:
        return
    once = os.environ.get("LTH_FAILPOINT_ONCE")
    if once:
        try:
            Path(once).touch(exist_ok=False)
        except FileExistsError:
            return
    os.kill(os.getpid(), signal.SIGKILL)
