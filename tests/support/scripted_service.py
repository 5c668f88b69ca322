"""A real HTTP server on loopback that says what a test tells it to say, and remembers what it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Asked:
    """One request as it arrived."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Says:
    """One answer.

    Attributes:
        status: HTTP status; 0 drops the connection without a word.
        document: JSON body, unless `body` is given.
        body: Raw body.
        headers: Extra headers.
        torn: Send the body and break off, instead of ending it properly.
    """

    status: int = 200
    document: Any = None
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    torn: bool = False


Script = Says | Callable[[Asked], Says]


class ScriptedService:
    """Answers by method and path; several answers are given one after the other, the last one again and again."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self._scripts: dict[tuple[str, str], list[Script]] = {}
        self._lock = threading.Lock()
        self.url = ""

    def on(self, method: str, path: str, *scripts: Script) -> None:
        """Say `scripts` when asked for `method path`."""
        self._scripts[method, path] = list(scripts)

    def asked_for(self, method: str, path: str) -> list[Asked]:
        """What was asked of `method path` so far."""
        return [asked for asked in self.asked if (asked.method, asked.path) == (method, path)]

    def reply(self, asked: Asked) -> Says:
        """The next answer."""
        with self._lock:
            self.asked.append(asked)
            scripts = self._scripts.get((asked.method, asked.path))
            if not scripts:
                return problem(404, "not_found", f"nothing at {asked.path}")
            script = scripts[0] if len(scripts) == 1 else scripts.pop(0)
        return script if isinstance(script, Says) else script(asked)


def problem(status: int, code: str, detail: str = "no", **headers: str) -> Says:
    """Problem details as the service sends them."""
    document = {"type": f"/problems/{code}", "title": "No", "status": status, "code": code, "detail": detail}
    return Says(status, document, headers=headers)


def page(*items: Any, next_after: str | None = None) -> Says:
    """One page of a list."""
    return Says(document={"data": list(items), "has_more": next_after is not None, "next_after": next_after})


def stream(*events: tuple[str, dict[str, Any]], torn: bool = False) -> Says:
    """Server-sent events: positions and documents."""
    lines = [f"id: {pos}\nevent: {doc.get('type', '')}\ndata: {json.dumps(doc)}\n\n" for pos, doc in events]
    body = ": ping\n\n" + "".join(lines)
    return Says(body=body.encode(), headers={"Content-Type": "text/event-stream"}, torn=torn)


def _handler(service: ScriptedService) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _handle(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            parts = urlsplit(self.path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked = Asked(self.command, parts.path, parts.query, headers, self.rfile.read(length))
            self._send(service.reply(asked))

        do_GET = do_POST = do_DELETE = _handle  # noqa: N815

        def _send(self, says: Says) -> None:
            if says.status == 0:
                self.close_connection = True
                return
            body = says.body if says.body is not None else json.dumps(says.document).encode()
            body = b"" if says.status in (204, 304) else body
            self.send_response(says.status)
            for name, value in {"Content-Type": "application/json", **says.headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(body) + (1000 if says.torn else 0)))
            self.end_headers()
            self.wfile.write(body)
            self.close_connection = self.close_connection or says.torn

        def log_message(self, format: str, *words: Any) -> None:  # noqa: A002
            pass

    return Handler


@contextmanager
def scripted_service() -> Iterator[ScriptedService]:
    """A service for the length of the block."""
    service = ScriptedService()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(service))
    server.daemon_threads = True
    service.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
