"""Making an API key without a running service: what a listener that others can reach needs before its first start."""

from __future__ import annotations

import argparse
import asyncio
import sys

from service.settings import Settings
from service.store.api_key_records import Scope
from service.store.errors import RecordError
from service.store.record import Record


async def make(settings: Settings, tenant: str, scopes: tuple[Scope, ...], name: str) -> str:
    """Store a new key, and return the text that its owner sees once.

    Raises:
        ValueError: If the tenant's name is malformed or a scope unknown.
        RecordError: If the object store does not answer.
    """
    record = await Record.open(settings)
    try:
        _, key = await record.create_api_key(tenant, scopes, name=name)
    finally:
        await record.close()
    return key


def main() -> int:
    """Print a new key; 1 with one sentence on stderr if it could not be made."""
    parser = argparse.ArgumentParser(prog="python -m service.api.first_key", description=__doc__)
    parser.add_argument("--tenant", default="local")
    parser.add_argument("--scope", action="append", choices=["read", "write", "admin"])
    parser.add_argument("--name", default="first")
    given = parser.parse_args()
    try:
        key = asyncio.run(make(Settings(), given.tenant, tuple(given.scope or ("read", "write")), given.name))
    except (RecordError, ValueError) as failure:
        sys.stderr.write(f"{failure}\n")
        return 1
    sys.stdout.write(f"{key}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
