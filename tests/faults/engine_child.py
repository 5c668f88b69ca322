"""A process that is an engine: it trains the orders of standard input side by side; a file says what became of each."""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from workers.engine import EngineProcess
from workers.engines.orders import Order, Trained


def main() -> None:
    """Train all orders at once; the first argument names the file."""
    orders = [Order(**fields) for fields in json.load(sys.stdin)]
    engine = EngineProcess("cpu", 1)
    with ThreadPoolExecutor(len(orders)) as threads:
        replies = list(threads.map(engine.train, map(str, range(len(orders))), orders))
    told = []
    for reply in replies:
        assert isinstance(reply, Trained), reply
        told.append({"core": reply.core, "engine": reply.engine, "resumed_at": reply.resumed_at})
    Path(sys.argv[1]).write_text(json.dumps(told))


if __name__ == "__main__":
    main()
