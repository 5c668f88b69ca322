"""How a child learns that its parent is gone: its stdin, held open by the parent alone, comes to an end."""

from __future__ import annotations

import os
import signal
import stat
import threading


def die_with_parent() -> None:
    """Kill this process and its group as soon as stdin ends, if stdin is a pipe.

    The group is killed too, so that what this process started dies with it.
    """
    if not stat.S_ISFIFO(os.fstat(0).st_mode):
        return
    threading.Thread(target=_wait_for_the_end, name="parent", daemon=True).start()


def _wait_for_the_end() -> None:
    while os.read(0, 1024):
        pass
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)
