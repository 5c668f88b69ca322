"""`python -m benchmarks.scale.dispatcher`: the dispatcher, with stand-ins for engines."""

from __future__ import annotations

from workers import dispatcher, reign

if __name__ == "__main__":
    reign.ENGINE_HOST = "benchmarks.scale.stand_in"
    dispatcher.main()
