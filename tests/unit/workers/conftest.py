"""Small searches on digits, computed once for all tests of analyses and reports."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tests.support.chains import TENANT, small_submission
from tests.support.local_records import StoredSearch, compute_into, open_folder
from workers.analyses.making import make_analysis
from workers.reporting.making import make_report

Make = Callable[[StoredSearch, str], bytes]


@pytest.fixture(scope="session")
def digits_search(tmp_path_factory: pytest.TempPathFactory) -> StoredSearch:
    """Three replicates, three prunings, random reinit and copies under another data order; everything is kept."""
    treatments = ["random_reinit", "reordered"]
    body = small_submission(replicates=3, treatments=treatments, keep="all")
    return asyncio.run(compute_into(tmp_path_factory.mktemp("digits") / "objects", body))


@pytest.fixture(scope="session")
def trained_search(tmp_path_factory: pytest.TempPathFactory) -> StoredSearch:
    """Learning-rate rewinding, whose outputs are trained networks and no tickets; only what the chain needs is kept."""
    body = small_submission(replicates=2, treatments=[], keep="masks", rewind={"mode": "lr"})
    return asyncio.run(compute_into(tmp_path_factory.mktemp("trained") / "objects", body))


@pytest.fixture(scope="session")
def open_search(tmp_path_factory: pytest.TempPathFactory) -> StoredSearch:
    """A grid of two settings with one replicate, still under way: only masks are kept, controls have not begun."""
    body = small_submission(
        treatments=["random_reinit"], keep="masks", prune={"levels": 3, "fraction": {"grid": [0.4, 0.6]}}
    )
    folder = tmp_path_factory.mktemp("open") / "objects"
    return asyncio.run(compute_into(folder, body, num_levels=6, status=None))


@pytest.fixture(scope="session")
def analyse() -> Callable[..., bytes]:
    """Makes an analysis of a search, or of one of its tickets."""

    def make(search: StoredSearch, name: str, subject: str | None = None) -> bytes:
        async def run() -> bytes:
            async with open_folder(search.folder) as record:
                return await make_analysis(record, TENANT, subject or search.id, name)

        return asyncio.run(run())

    return make


@pytest.fixture(scope="session")
def report_anew() -> Make:
    """Makes one form of a search's report."""

    def make(search: StoredSearch, name: str) -> bytes:
        async def run() -> bytes:
            async with open_folder(search.folder) as record:
                return await make_report(record, TENANT, search.id, name)

        return asyncio.run(run())

    return make


@pytest.fixture(scope="session")
def report(report_anew: Make) -> Make:
    """Makes one form of a search's report, each once for all tests."""
    made: dict[tuple[str, str], bytes] = {}

    def make(search: StoredSearch, name: str) -> bytes:
        if (search.id, name) not in made:
            made[search.id, name] = report_anew(search, name)
        return made[search.id, name]

    return make
