"""Runs every benchmark that needs nothing but this machine: `make bench`."""

from __future__ import annotations

from benchmarks import lr_too_high, status_polls


def main() -> None:
    """Run them one after the other; each writes its own result."""
    status_polls.main()
    lr_too_high.main()


if __name__ == "__main__":
    main()
