"""HTTP to a service under test, and what tests ask of it again and again."""

from __future__ import annotations

import contextlib
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

TERMINAL = {"succeeded", "partial", "failed", "cancelled"}


@dataclass
class Answer:
    """One HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """Decode the body."""
        return json.loads(self.body)


class Rest:
    """A service that listens at `url`."""

    url: str

    def request(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None, timeout_s: float = 35
    ) -> Answer:
        """Send one request; `body` is JSON unless it is bytes. Error statuses are answers, not exceptions."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        sent = {"Content-Type": "application/json"} if data is not None else {}
        request = urllib.request.Request(  # noqa: S310
            self.url + path, data=data, method=method, headers={**sent, **(headers or {})}
        )
        try:
            with urllib.request.urlopen(request, timeout=timeout_s) as answer:  # noqa: S310
                return Answer(answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, {k.lower(): v for k, v in error.headers.items()}, error.read())

    def get(self, path: str) -> Any:
        """GET JSON and insist on success."""
        answer = self.request("GET", path)
        assert answer.status == 200, (path, answer.status, answer.body[:2000])
        return answer.json()

    def pages(self, path: str) -> list[dict[str, Any]]:
        """Read every page of a list."""
        rows: list[dict[str, Any]] = []
        after = ""
        while True:
            mark = "&" if "?" in path else "?"
            page = self.get(f"{path}{mark}limit=200{after}")
            rows += page["data"]
            if not page["has_more"]:
                return rows
            after = f"&after={page['next_after']}"

    def submit(self, body: dict[str, Any], key: str | None = None) -> str:
        """POST a search and return its id."""
        answer = self.request("POST", "/v1/searches", body, {"Idempotency-Key": key} if key else None)
        assert answer.status in (200, 202), (answer.status, answer.body[:2000])
        return str(answer.json()["id"])

    def wait(self, search: str, timeout_s: float = 240) -> dict[str, Any]:
        """Poll a search, through faults, until it is terminal."""
        return self.until(search, lambda doc: doc["status"] in TERMINAL, timeout_s)

    def until(self, search: str, reached: Callable[[dict[str, Any]], bool], timeout_s: float = 240) -> dict[str, Any]:
        """Poll a search until its document satisfies a condition; an API that is down is asked again."""
        deadline = time.monotonic() + timeout_s
        last: Any = None
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, ValueError):
                answer = self.request("GET", f"/v1/searches/{search}", timeout_s=10)
                last = answer.json()
                if answer.status == 200 and reached(last):
                    return dict(last)
            time.sleep(0.25)
        raise AssertionError(f"search {search} did not get there in {timeout_s} s; last: {json.dumps(last)[:1500]}")

    def masks(self, search: str) -> dict[tuple[str, int, int, int], str]:
        """Return the mask digest of every committed level by (treatment, replicate, repeat, level)."""
        found = {}
        for lineage in self.pages(f"/v1/searches/{search}/lineages"):
            for level in self.pages(f"/v1/searches/{search}/lineages/{lineage['id']}/levels"):
                if level["status"] == "committed":
                    name = (lineage["treatment"], lineage["replicate"], lineage["repeat"], level["level"])
                    found[name] = level["mask_sha256"]
        return found
