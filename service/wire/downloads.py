"""Files of a ticket as they are downloaded: digests checked, formats that are still being made waited for."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import time
from dataclasses import dataclass
from typing import Any, Self

import httpx2

from service.wire.mask_file import check_digest
from service.wire.problems import DigestMismatch, WaitTimeout
from service.wire.transport import retry_after_s

TICKET_FILES = ("manifest", "mask", "rewind", "final")
MASK_FORMATS = ("packed", "safetensors", "npz", "torch_prune", "open_lth")
REPORT_FORMATS = {"json": ".json", "markdown": ".md", "html": ".html", "csv": ".csv", "bibtex": ".bib"}
"""Forms of a report, and the extensions of their files."""
LONGEST_EXPORT_S = 180.0
LONGEST_ANALYSIS_S = 1800.0
"""Analyses may evaluate networks many times."""

_EXTENSIONS = {
    "packed": ".bits",
    "safetensors": ".safetensors",
    "npz": ".npz",
    "torch_prune": ".torch_prune.safetensors",
    "open_lth": ".open_lth.zip",
}
_REPR_DIGEST = re.compile(r"sha-256=:([A-Za-z0-9+/=]+):")


def extension_of(part: str, form: str) -> str:
    """Extension of the file that holds one part of a ticket."""
    if part == "manifest":
        return ".json"
    return _EXTENSIONS[form] if part == "mask" else ".safetensors"


@dataclass(frozen=True)
class Download:
    """Bytes that have the digest the service announced for them.

    Attributes:
        part: `mask`, `rewind`, `final` or `manifest`.
        data: The file.
    """

    part: str
    data: bytes

    @classmethod
    def from_answer(cls, part: str, answer: httpx2.Response) -> Self:
        """The download in an answer.

        Raises:
            DigestMismatch: If the bytes do not have the announced `Repr-Digest`.
        """
        announced = _REPR_DIGEST.search(answer.headers.get("repr-digest", ""))
        digest = hashlib.sha256(answer.content).digest()
        if announced and base64.b64decode(announced.group(1)) != digest:
            raise DigestMismatch(f"{part}: the {len(answer.content)} bytes do not have the announced digest")
        return cls(part, answer.content)

    def json(self) -> dict[str, Any]:
        """The object in the bytes."""
        return dict(json.loads(self.data))

    def checked(self, sha256: str) -> bytes:
        """The bytes, if they have this digest.

        Raises:
            DigestMismatch: If they do not.
        """
        check_digest(self.data, sha256, self.part)
        return self.data


class Making:
    """Patience with what a worker makes on request.

    Args:
        longest_s: Give up after this time.
    """

    def __init__(self, longest_s: float) -> None:
        self._longest_s = longest_s
        self._deadline = time.monotonic() + longest_s

    def pause_s(self, answer: httpx2.Response) -> float | None:
        """How long to wait before asking again, or None if the answer is there (it is not 202).

        Raises:
            WaitTimeout: If it takes too long.
        """
        if answer.status_code != httpx2.codes.ACCEPTED:
            return None
        if time.monotonic() > self._deadline:
            raise WaitTimeout(f"it was not made within {self._longest_s:g} s; ask again later")
        return retry_after_s(answer) or 1.0
