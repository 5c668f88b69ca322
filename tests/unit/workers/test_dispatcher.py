"""How a reign ends."""

from __future__ import annotations

import asyncio

import pytest

from workers import dispatcher


def test_a_reign_ends_even_if_a_call_that_timed_out_took_the_first_wish_for_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dispatcher, "CANCEL_AGAIN_S", 0.01)
    wishes = []

    async def reign() -> None:
        while len(wishes) < 2:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                wishes.append("end")
        raise asyncio.CancelledError

    async def end() -> None:
        reigning = asyncio.create_task(reign())
        await asyncio.sleep(0)
        await asyncio.wait_for(dispatcher._end(reigning), timeout=5)
        assert reigning.done()

    asyncio.run(end())
    assert len(wishes) == 2
