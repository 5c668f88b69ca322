"""The Python client: submit searches, follow them, and take tickets home."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from service.async_client import AsyncClient, AsyncSearch, AsyncTicket
from service.wire.documents import (
    Event,
    SearchDocument,
    TicketDocument,
    event_from,
    new_idempotency_key,
    submission_body,
)
from service.wire.downloads import (
    LONGEST_ANALYSIS_S,
    LONGEST_EXPORT_S,
    TICKET_FILES,
    Download,
    Making,
    extension_of,
)
from service.wire.event_stream import follow
from service.wire.mask_file import Mask, unpack
from service.wire.problems import NotKept, WaitTimeout
from service.wire.transport import DEFAULT_URL, RetryPolicy, Transport
from service.wire.uploads import TicketFiles

__all__ = ["AsyncClient", "AsyncSearch", "AsyncTicket", "Client", "RetryPolicy", "Search", "Ticket"]

POLL_S = 1.0
JSON = {"Accept": "application/json"}


class Client:
    """A connection to one lottery ticket search service.

    Args:
        url: Root of the service; default `LTH_URL`, else the local service.
        key: API key; default `LTH_API_KEY`.
        policy: How long to insist when the service does not answer, or says 429, 502 or 503.
    """

    def __init__(self, url: str | None = None, *, key: str | None = None, policy: RetryPolicy | None = None) -> None:
        root = url or os.environ.get("LTH_URL") or DEFAULT_URL
        secret = key or os.environ.get("LTH_API_KEY")
        self.transport = Transport(root, secret, policy or RetryPolicy())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self.transport.close()

    def get(self, path: str, **params: Any) -> Any:
        """The JSON under `path`."""
        known = {name: value for name, value in params.items() if value is not None}
        return self.transport.request("GET", path, params=known, headers=JSON).json()

    def pages(self, path: str, **params: Any) -> Iterator[dict[str, Any]]:
        """All items of a paged list, fetched as they are consumed."""
        after: str | None = None
        while True:
            page = self.get(path, **({"limit": 200} | params | {"after": after}))
            yield from page["data"]
            after = page.get("next_after")
            if not page.get("has_more") or not after:
                return

    def made(self, part: str, path: str, longest_s: float, **params: str) -> Download:
        """What a worker makes on request under `path`, waited for.

        Raises:
            WaitTimeout: If it was not made within `longest_s`.
            DigestMismatch: If the bytes do not have the announced digest.
        """
        making = Making(longest_s)
        while True:
            answer = self.transport.request("GET", path, params=params)
            pause = making.pause_s(answer)
            if pause is None:
                return Download.from_answer(part, answer)
            time.sleep(pause)

    def submit(self, spec: Mapping[str, Any], *, idempotency_key: str | None = None, **members: Any) -> Search:
        """Submit a search, exactly once however often the request must be repeated.

        Args:
            spec: The spec, or a whole body with a `spec` in it.
            idempotency_key: Name of this submission; the same name never makes a second search.
            members: What stands beside the spec: `name`, `labels`, `note`, `priority`, `budget`, `resources`.
        """
        headers = {"Idempotency-Key": idempotency_key or new_idempotency_key()}
        body = submission_body(spec, members)
        return Search(self, self.transport.request("POST", "/v1/searches", json=body, headers=headers).json())

    def validate(self, spec: Mapping[str, Any], **members: Any) -> dict[str, Any]:
        """Check a submission and say what it would cost; nothing is stored."""
        body = submission_body(spec, members)
        answer = self.transport.request("POST", "/v1/searches", json=body, params={"validate_only": "true"}).json()
        return dict(answer)

    def search(self, search_id: str) -> Search:
        """The search of that name."""
        return Search(self, self.get(f"/v1/searches/{search_id}"))

    def searches(self, **filters: Any) -> Iterator[Search]:
        """All searches, newest first; filters are `status`, `label`, `created_after`, `created_before`."""
        return (Search(self, document) for document in self.pages("/v1/searches", **filters))

    def ticket(self, ticket_id: str) -> Ticket:
        """The ticket of that name."""
        return Ticket(self, self.get(f"/v1/tickets/{ticket_id}"))

    def tickets(self, **filters: Any) -> Iterator[Ticket]:
        """Tickets; filters as in the API: `search`, `verdict`, `treatment`, `max_density`, `min_accuracy`, ..."""
        return (Ticket(self, document) for document in self.pages("/v1/tickets", **filters))

    def upload_ticket(self, files: TicketFiles) -> dict[str, Any]:
        """Bring a ticket that was found elsewhere; the same content again is the same upload.

        Returns:
            The upload; its `id`, `upl_...`, stands in `spec.init.upload` of a transfer.
        """
        return dict(self.transport.request("POST", "/v1/tickets", files=files.parts()).json())

    def upload(self, upload_id: str) -> dict[str, Any]:
        """One uploaded ticket."""
        return dict(self.get(f"/v1/uploads/{upload_id}"))

    def uploads(self) -> Iterator[dict[str, Any]]:
        """All uploaded tickets, newest first."""
        return self.pages("/v1/uploads")

    def cluster(self) -> dict[str, Any]:
        """Engines, slots, what waits for them, limits and events; `reachable` says whether it tells of now."""
        return dict(self.get("/v1/cluster"))

    def nodes(self) -> dict[str, Any]:
        """The machines of the cluster, in `data`."""
        return dict(self.get("/v1/cluster/nodes"))


class Search(SearchDocument):
    """A search on the service, as it last described it."""

    def __init__(self, client: Client, document: Mapping[str, Any]) -> None:
        super().__init__(document)
        self.client = client

    def refresh(self) -> Self:
        """Ask the service again."""
        self.document = dict(self.client.get(self.path))
        return self

    def cancel(self, mode: str = "kill") -> Self:
        """Ask for the end of the search: `kill`, `after_level` or `drain`."""
        answer = self.client.transport.request("POST", f"{self.path}/cancel", json={"mode": mode})
        self.document = dict(answer.json())
        return self

    def wait(self, timeout_s: float | None = None) -> Self:
        """Wait until it has succeeded, at least in part.

        Raises:
            WaitTimeout: If it has not ended within `timeout_s`; the search goes on.
            SearchCancelled: If the search was cancelled.
            SearchFailed: If it failed.
        """
        self.wait_for_end(timeout_s)
        self.raise_unless_finished()
        return self

    def wait_for_end(self, timeout_s: float | None = None) -> Self:
        """Wait for the end, whatever it is.

        Raises:
            WaitTimeout: If it has not come within `timeout_s`; the search goes on.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while not self.refresh().is_terminal:
            left = POLL_S if deadline is None else deadline - time.monotonic()
            if left <= 0:
                raise WaitTimeout(f"{self.id} is {self.status} after {timeout_s:g} s; it goes on")
            time.sleep(min(POLL_S, left))
        return self

    def events(self, after: str | None = None) -> Iterator[Event]:
        """What happens, as it happens, until the search ends; every event once, over broken connections too."""
        return follow(self.client.transport, f"{self.path}/events", after)

    def past_events(self) -> Iterator[Event]:
        """What has happened so far, oldest first."""
        return (event_from(document) for document in self.client.pages(f"{self.path}/events"))

    def lineages(self, **filters: Any) -> Iterator[dict[str, Any]]:
        """Its lineages as documents."""
        return self.client.pages(f"{self.path}/lineages", **filters)

    def levels(self, lineage_id: str) -> Iterator[dict[str, Any]]:
        """The levels of one lineage as documents."""
        return self.client.pages(f"{self.path}/lineages/{lineage_id}/levels")

    def curves(self) -> dict[str, Any]:
        """The numbers of all committed levels: `columns`, and one series of points per lineage."""
        return dict(self.client.get(f"{self.path}/curves"))

    def analysis(self, name: str) -> dict[str, Any]:
        """An analysis over its levels: `overlap`, `signs`, `movement`, `barrier`, `instability`, `verdict`, ..."""
        return self.client.made(name, f"{self.path}/analysis/{name}", LONGEST_ANALYSIS_S).json()

    def report(self, form: str = "markdown") -> bytes:
        """The report as `markdown`, `html`, `csv`, `json` or `bibtex`; so far, while it runs."""
        return self.client.made("report", f"{self.path}/report", LONGEST_ANALYSIS_S, format=form).data

    def figure(self, name: str) -> bytes:
        """A figure of the report, such as `accuracy.svg` or `accuracy.png`."""
        return self.client.made(name, f"{self.path}/report/figures/{name}", LONGEST_ANALYSIS_S).data

    def tickets(self, **filters: Any) -> Iterator[Ticket]:
        """Its tickets."""
        return self.client.tickets(search=self.id, **filters)

    @property
    def best(self) -> Ticket | None:
        """The best ticket, or None while there is none."""
        return self.client.ticket(self.best_id) if self.best_id else None


class Ticket(TicketDocument):
    """A ticket on the service."""

    def __init__(self, client: Client, document: Mapping[str, Any]) -> None:
        super().__init__(document)
        self.client = client

    def manifest(self) -> dict[str, Any]:
        """Everything that is known about how it was computed."""
        return dict(self.client.get(f"{self.path}/manifest"))

    def mask(self) -> Mask:
        """Boolean arrays by parameter name, True = kept; digest, shapes and counts are checked.

        Raises:
            DigestMismatch: If the download is not the mask that the ticket names.
        """
        manifest = self.manifest()
        return unpack(self.fetch("mask", "packed").checked(self.document["mask_sha256"]), manifest)

    def fetch(self, part: str, form: str | None = None) -> Download:
        """One file of the ticket: `mask` (in any of `formats`), `rewind`, `final` or `manifest`."""
        params = {"format": form} if form else {}
        return self.client.made(part, f"{self.path}/{part}", LONGEST_EXPORT_S, **params)

    def analysis(self, name: str) -> dict[str, Any]:
        """An analysis of the ticket: `overlap`, `signs`, `distributions`, `layer_densities`, `movement`, ..."""
        return self.client.made(name, f"{self.path}/analysis/{name}", LONGEST_ANALYSIS_S).json()

    def download(self, folder: Path, form: str = "safetensors") -> list[Path]:
        """Write manifest, mask and every kept weights file into `folder`, which is made if it is missing.

        Returns:
            The files written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        written = []
        for part in TICKET_FILES:
            download = self._kept(part, form if part == "mask" else None)
            if download is not None:
                path = folder / f"{part}{extension_of(part, form)}"
                path.write_bytes(download.data)
                written.append(path)
        return written

    def _kept(self, part: str, form: str | None) -> Download | None:
        try:
            return self.fetch(part, form)
        except NotKept:
            return None
