"""Where Tune keeps what nobody reads: a private folder per search and epoch, thrown away at the end."""

from __future__ import annotations

import tempfile
from pathlib import Path


def of(search_id: str, epoch: int) -> Path:
    """The folder of one driver."""
    return Path(tempfile.gettempdir()) / f"lth-tune-{search_id}-{epoch}"
