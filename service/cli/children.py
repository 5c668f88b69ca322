"""Commands that need torch run as `python -m workers.<x>` beside us, with the settings of the local service."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Sequence

from service.cli.exits import UsageError
from service.cli.session import Session
from service.local.home import Home
from service.local.stack import python_path


def run(session: Session, module: str, words: Sequence[str]) -> int:
    """Run a worker's command line; its output and exit code are ours.

    Raises:
        UsageError: If the extra `worker` is not installed here.
    """
    return _child(session, module, [*words, *(["--json"] if session.as_json else [])])


def convert(session: Session, words: Sequence[str]) -> int:
    """Convert a ticket of another framework on this machine; the child speaks of it on stderr.

    Raises:
        UsageError: If the extra `worker` is not installed here.
    """
    return _child(session, "workers.convert", words)


def _child(session: Session, module: str, words: Sequence[str]) -> int:
    if importlib.util.find_spec("torch") is None:
        raise UsageError("this needs torch on this machine: pip install 'lottery-ticket-search[worker]'")
    argv = [sys.executable, "-m", module, *words]
    return subprocess.run(argv, env=settings_env(Home.at(session.home)), check=False).returncode


def settings_env(home: Home) -> dict[str, str]:
    """Our environment with the `LTH_*` settings of the service of this home, running or not."""
    note = home.read(home.env_file) or {"LTH_HOME": str(home.path)}
    return {**os.environ, **{name: str(value) for name, value in note.items()}, **python_path()}
