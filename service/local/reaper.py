"""`python -m service.local.reaper TAG`: waits for the end of a supervisor and kills what else is left of its run."""

from __future__ import annotations

import os
import signal
import sys

from service.local.processes import kill_tagged


def main() -> None:
    """Wait for the end of stdin, which only the supervisor holds open, then clean up."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while os.read(0, 1024):
        pass
    kill_tagged(sys.argv[1])


if __name__ == "__main__":
    main()
