"""Where Tune keeps what nobody reads: a private folder per driver, thrown away at its end or by the next leader."""

from __future__ import annotations

from pathlib import Path


def root(home: Path) -> Path:
    """The folder of all drivers."""
    return home / "run" / "tune"


def of(home: Path, search_id: str, epoch: int) -> Path:
    """The folder of one driver."""
    return root(home) / f"{search_id}-{epoch}"
