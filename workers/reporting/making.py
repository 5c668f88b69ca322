"""Making one form of a search's report, or one of its figures."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from typing import Any, cast

from lth_core.canonical import canonical_json
from service.store.record import Record
from workers.reporting.bibtex import bibtex
from workers.reporting.document import report_document
from workers.reporting.figure_style import Form
from workers.reporting.figures import make_figure
from workers.reporting.html import page
from workers.reporting.markdown import markdown
from workers.reporting.table_csv import table_csv
from workers.searched import Searched, read_search

TEXTS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "markdown": markdown,
    "csv": table_csv,
    "bibtex": bibtex,
}
NAMES = ("json", "html", *TEXTS)
MAX_DRAWN_SETTINGS = 6
"""Settings whose figures stand in the page; those of the others are files of their own."""
_FIGURE = re.compile(r"figure-([a-z0-9][a-z0-9-]*)\.(svg|png)")


async def make_report(record: Record, tenant: str, search: str, name: str) -> bytes:
    """Make one form of a report; the same levels and the same log give the same bytes.

    Args:
        record: Where everything is.
        tenant: Whose search.
        search: Its id.
        name: `json`, `markdown`, `html`, `csv`, `bibtex`, `figure-<id>.svg` or `figure-<id>.png`.

    Raises:
        ValueError: If there is no such form or figure.
        NotFound: If the tenant has no such search.
        ArtefactCorrupt: If stored bytes are gone or are not what they should be.
        StoreUnavailable: If the store does not answer.
    """
    figure = _FIGURE.fullmatch(name)
    if name not in NAMES and figure is None:
        raise ValueError(f"a report is one of {', '.join(NAMES)} or figure-<id>.svg or .png, got {name!r}")
    searched = await read_search(record, tenant, search)
    document = await asyncio.to_thread(report_document, searched)
    if figure is not None:
        return await make_figure(record, searched, document, figure[1], cast("Form", figure[2]))
    if name == "json":
        return canonical_json(document)
    if name == "html":
        return page(document, await _drawn(record, searched, document)).encode()
    return TEXTS[name](document).encode()


async def _drawn(record: Record, searched: Searched, document: Mapping[str, Any]) -> dict[str, bytes]:
    """Draw the figures of a page: those of all settings, and of the first few."""
    return {
        figure["id"]: await make_figure(record, searched, document, figure["id"], "svg")
        for figure in document["figures"]
        if figure["setting"] < MAX_DRAWN_SETTINGS
    }
