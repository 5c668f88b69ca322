"""Runs every benchmark that needs nothing but this machine: `make bench`."""

from __future__ import annotations

from benchmarks import status_polls


def main() -> None:
    """Run them one after the other; each writes its own result."""
    status_polls.main()


if __name__ == "__main__":
    main()
