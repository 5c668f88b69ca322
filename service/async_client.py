"""The Python client for asyncio; the same words as `service.client`."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Any, Self

from service.wire.documents import (
    Event,
    SearchDocument,
    TicketDocument,
    new_idempotency_key,
    submission_body,
)
from service.wire.downloads import LONGEST_ANALYSIS_S, LONGEST_EXPORT_S, Download, Making
from service.wire.event_stream import follow_async
from service.wire.mask_file import Mask, unpack
from service.wire.problems import WaitTimeout
from service.wire.transport import DEFAULT_URL, AsyncTransport, RetryPolicy
from service.wire.uploads import TicketFiles

POLL_S = 1.0
JSON = {"Accept": "application/json"}


class AsyncClient:
    """A connection to one lottery ticket search service, for asyncio.

    Args:
        url: Root of the service; default `LTH_URL`, else the local service.
        key: API key; default `LTH_API_KEY`.
        policy: How long to insist when the service does not answer, or says 429, 502 or 503.
    """

    def __init__(self, url: str | None = None, *, key: str | None = None, policy: RetryPolicy | None = None) -> None:
        root = url or os.environ.get("LTH_URL") or DEFAULT_URL
        secret = key or os.environ.get("LTH_API_KEY")
        self.transport = AsyncTransport(root, secret, policy or RetryPolicy())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self.transport.close()

    async def get(self, path: str, **params: Any) -> Any:
        """The JSON under `path`."""
        known = {name: value for name, value in params.items() if value is not None}
        return (await self.transport.request("GET", path, params=known, headers=JSON)).json()

    async def pages(self, path: str, **params: Any) -> AsyncIterator[dict[str, Any]]:
        """All items of a paged list, fetched as they are consumed."""
        after: str | None = None
        while True:
            page = await self.get(path, **({"limit": 200} | params | {"after": after}))
            for item in page["data"]:
                yield item
            after = page.get("next_after")
            if not page.get("has_more") or not after:
                return

    async def made(self, part: str, path: str, longest_s: float, **params: str) -> Download:
        """What a worker makes on request under `path`, waited for.

        Raises:
            WaitTimeout: If it was not made within `longest_s`.
            DigestMismatch: If the bytes do not have the announced digest.
        """
        making = Making(longest_s)
        while True:
            answer = await self.transport.request("GET", path, params=params)
            pause = making.pause_s(answer)
            if pause is None:
                return Download.from_answer(part, answer)
            await asyncio.sleep(pause)

    async def submit(
        self, spec: Mapping[str, Any], *, idempotency_key: str | None = None, **members: Any
    ) -> AsyncSearch:
        """Submit a search, exactly once however often the request must be repeated.

        Args:
            spec: The spec, or a whole body with a `spec` in it.
            idempotency_key: Name of this submission; the same name never makes a second search.
            members: What stands beside the spec: `name`, `labels`, `note`, `priority`, `budget`, `resources`.
        """
        headers = {"Idempotency-Key": idempotency_key or new_idempotency_key()}
        body = submission_body(spec, members)
        answer = await self.transport.request("POST", "/v1/searches", json=body, headers=headers)
        return AsyncSearch(self, answer.json())

    async def search(self, search_id: str) -> AsyncSearch:
        """The search of that name."""
        return AsyncSearch(self, await self.get(f"/v1/searches/{search_id}"))

    async def searches(self, **filters: Any) -> AsyncIterator[AsyncSearch]:
        """All searches, newest first."""
        async for document in self.pages("/v1/searches", **filters):
            yield AsyncSearch(self, document)

    async def ticket(self, ticket_id: str) -> AsyncTicket:
        """The ticket of that name."""
        return AsyncTicket(self, await self.get(f"/v1/tickets/{ticket_id}"))

    async def tickets(self, **filters: Any) -> AsyncIterator[AsyncTicket]:
        """Tickets; filters as in the API."""
        async for document in self.pages("/v1/tickets", **filters):
            yield AsyncTicket(self, document)

    async def upload_ticket(self, files: TicketFiles) -> dict[str, Any]:
        """Bring a ticket that was found elsewhere; the same content again is the same upload.

        Returns:
            The upload; its `id`, `upl_...`, stands in `spec.init.upload` of a transfer.
        """
        return dict((await self.transport.request("POST", "/v1/tickets", files=files.parts())).json())

    async def upload(self, upload_id: str) -> dict[str, Any]:
        """One uploaded ticket."""
        return dict(await self.get(f"/v1/uploads/{upload_id}"))

    def uploads(self) -> AsyncIterator[dict[str, Any]]:
        """All uploaded tickets, newest first."""
        return self.pages("/v1/uploads")

    async def cluster(self) -> dict[str, Any]:
        """Engines, slots, what waits for them, limits and events; `reachable` says whether it tells of now."""
        return dict(await self.get("/v1/cluster"))

    async def nodes(self) -> dict[str, Any]:
        """The machines of the cluster, in `data`."""
        return dict(await self.get("/v1/cluster/nodes"))


class AsyncSearch(SearchDocument):
    """A search on the service, as it last described it."""

    def __init__(self, client: AsyncClient, document: Mapping[str, Any]) -> None:
        super().__init__(document)
        self.client = client

    async def refresh(self) -> Self:
        """Ask the service again."""
        self.document = dict(await self.client.get(self.path))
        return self

    async def cancel(self, mode: str = "kill") -> Self:
        """Ask for the end of the search: `kill`, `after_level` or `drain`."""
        answer = await self.client.transport.request("POST", f"{self.path}/cancel", json={"mode": mode})
        self.document = dict(answer.json())
        return self

    async def wait(self, timeout_s: float | None = None) -> Self:
        """Wait until it has succeeded, at least in part.

        Raises:
            WaitTimeout: If it has not ended within `timeout_s`; the search goes on.
            SearchCancelled: If the search was cancelled.
            SearchFailed: If it failed.
        """
        await self.wait_for_end(timeout_s)
        self.raise_unless_finished()
        return self

    async def wait_for_end(self, timeout_s: float | None = None) -> Self:
        """Wait for the end, whatever it is.

        Raises:
            WaitTimeout: If it has not come within `timeout_s`; the search goes on.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while not (await self.refresh()).is_terminal:
            left = POLL_S if deadline is None else deadline - time.monotonic()
            if left <= 0:
                raise WaitTimeout(f"{self.id} is {self.status} after {timeout_s:g} s; it goes on")
            await asyncio.sleep(min(POLL_S, left))
        return self

    def events(self, after: str | None = None) -> AsyncIterator[Event]:
        """What happens, as it happens, until the search ends; every event once, over broken connections too."""
        return follow_async(self.client.transport, f"{self.path}/events", after)

    def lineages(self, **filters: Any) -> AsyncIterator[dict[str, Any]]:
        """Its lineages as documents."""
        return self.client.pages(f"{self.path}/lineages", **filters)

    def levels(self, lineage_id: str) -> AsyncIterator[dict[str, Any]]:
        """The levels of one lineage as documents."""
        return self.client.pages(f"{self.path}/lineages/{lineage_id}/levels")

    async def curves(self) -> dict[str, Any]:
        """The numbers of all committed levels: `columns`, and one series of points per lineage."""
        return dict(await self.client.get(f"{self.path}/curves"))

    async def analysis(self, name: str) -> dict[str, Any]:
        """An analysis over its levels: `overlap`, `signs`, `movement`, `barrier`, `instability`, `verdict`, ..."""
        return (await self.client.made(name, f"{self.path}/analysis/{name}", LONGEST_ANALYSIS_S)).json()

    async def report(self, form: str = "markdown") -> bytes:
        """The report as `markdown`, `html`, `csv`, `json` or `bibtex`; so far, while it runs."""
        return (await self.client.made("report", f"{self.path}/report", LONGEST_ANALYSIS_S, format=form)).data

    async def figure(self, name: str) -> bytes:
        """A figure of the report, such as `accuracy.svg` or `accuracy.png`."""
        return (await self.client.made(name, f"{self.path}/report/figures/{name}", LONGEST_ANALYSIS_S)).data

    def tickets(self, **filters: Any) -> AsyncIterator[AsyncTicket]:
        """Its tickets."""
        return self.client.tickets(search=self.id, **filters)

    async def best(self) -> AsyncTicket | None:
        """The best ticket, or None while there is none."""
        return await self.client.ticket(self.best_id) if self.best_id else None


class AsyncTicket(TicketDocument):
    """A ticket on the service."""

    def __init__(self, client: AsyncClient, document: Mapping[str, Any]) -> None:
        super().__init__(document)
        self.client = client

    async def manifest(self) -> dict[str, Any]:
        """Everything that is known about how it was computed."""
        return dict(await self.client.get(f"{self.path}/manifest"))

    async def fetch(self, part: str, form: str | None = None) -> Download:
        """One file of the ticket: `mask` (in any of `formats`), `rewind`, `final` or `manifest`."""
        params = {"format": form} if form else {}
        return await self.client.made(part, f"{self.path}/{part}", LONGEST_EXPORT_S, **params)

    async def analysis(self, name: str) -> dict[str, Any]:
        """An analysis of the ticket: `overlap`, `signs`, `distributions`, `layer_densities`, `movement`, ..."""
        return (await self.client.made(name, f"{self.path}/analysis/{name}", LONGEST_ANALYSIS_S)).json()

    async def mask(self) -> Mask:
        """Boolean arrays by parameter name, True = kept; digest, shapes and counts are checked.

        Raises:
            DigestMismatch: If the download is not the mask that the ticket names.
        """
        packed = await self.fetch("mask", "packed")
        return unpack(packed.checked(self.document["mask_sha256"]), await self.manifest())
