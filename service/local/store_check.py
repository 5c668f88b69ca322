"""`python -m service.local.store_check`: the object store's self-test as a command, for `lth doctor`."""

from __future__ import annotations

import argparse
import asyncio
import sys

from service.settings import Settings
from service.store.errors import RecordError
from service.store.objects import ObjectStore
from service.store.selftest import self_test


def main() -> None:
    """Test the store of `LTH_STORE_URL`; exit 0, or 1 with one sentence."""
    parser = argparse.ArgumentParser(prog="python -m service.local.store_check", description=__doc__)
    parser.add_argument("--racers", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=50)
    given = parser.parse_args()
    objects = ObjectStore.from_url(Settings().store_url)
    try:
        asyncio.run(self_test(objects, num_racers=given.racers, num_rounds=given.rounds))
    except RecordError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
