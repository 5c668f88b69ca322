"""What the service on one machine is made of: the processes of `lth up`, their order and their settings."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2

from service.local import valkey
from service.local.home import CannotStart, Home
from service.local.supervisor import ChildSpec

DEFAULT_LISTEN = "127.0.0.1:8420"
READY_TIMEOUT_S = 120.0
FIRST_DATA_S = 90.0


class PortBusy(CannotStart):
    """The wished-for port belongs to somebody else."""


def children(home: Home, env: dict[str, str]) -> list[ChildSpec]:
    """What the service is made of, in starting order."""
    specs = []
    redis_url = env["LTH_REDIS_URL"]
    if redis_url.startswith("unix://"):
        path = Path(redis_url.removeprefix("unix://"))
        argv = tuple(valkey.command(path, home.valkey))
        specs.append(_child(home, "valkey", argv, env, lambda: valkey.answers(path)))
    dispatcher = (sys.executable, "-m", "workers.dispatcher")
    specs.append(_child(home, "dispatcher", dispatcher, env, _has_first_data(env["LTH_STORE_URL"])))
    ready_url = f"{url_of(env['LTH_LISTEN'])}/readyz"
    argv = (sys.executable, "-m", "service.api.server")
    specs.append(_child(home, "api", argv, env, lambda: _is_ready(ready_url)))
    return specs


def _child(home: Home, name: str, argv: tuple[str, ...], env: dict[str, str], ready: Callable[[], bool]) -> ChildSpec:
    return ChildSpec(name, argv, env, home.logs / f"{name}.log", ready, READY_TIMEOUT_S)


def _has_first_data(store_url: str) -> Callable[[], bool]:
    """Tells whether the dispatcher has registered the bundled data set, so that the first search finds it.

    In a store that is no folder here, and after `FIRST_DATA_S`, the answer is yes: nobody waits for ever.
    """
    deadline = time.monotonic() + FIRST_DATA_S
    folder = Path(store_url.removeprefix("file://")) / "datasets" / "digits"

    def ready() -> bool:
        away = not store_url.startswith("file://")
        return away or any(folder.glob("*/manifest.json")) or time.monotonic() > deadline

    return ready


def _is_ready(url: str) -> bool:
    try:
        return httpx2.get(url, timeout=2.0, trust_env=False).status_code == httpx2.codes.OK
    except httpx2.TransportError:
        return False


@contextlib.contextmanager
def environment(home: Home, port: int | None, num_gpus: int | None) -> Iterator[dict[str, str]]:
    """The environment of all children: the embedded defaults, where the caller's `LTH_*` do not say otherwise.

    The port is kept for the API as long as the environment lasts: Ray and others take free ports before it starts.

    Raises:
        PortBusy: If somebody else listens on the port.
    """
    run_id = secrets.token_hex(6)
    with contextlib.ExitStack() as until_the_end:
        folder = home.short_run_folder(run_id)
        if folder != home.run:
            until_the_end.callback(folder.unlink, missing_ok=True)
        holder, listen = _held_address(os.environ.get("LTH_LISTEN") or DEFAULT_LISTEN, port)
        until_the_end.enter_context(holder)
        embedded = {
            "LTH_REDIS_URL": f"unix://{folder}/valkey.sock",
            "LTH_STORE_URL": f"file://{home.objects}",
            "LTH_ADMIN_LISTEN": f"{folder}/admin.sock",
            "LTH_PEPPER_FILE": str(home.pepper),
        }
        fixed = {
            "LTH_HOME": str(home.path),
            "LTH_LISTEN": listen,
            "LTH_RUN": run_id,
            "PYTHONUNBUFFERED": "1",
        } | ({} if num_gpus is None else {"LTH_NUM_GPUS": str(num_gpus)})
        inherited = {k: v for k, v in os.environ.items() if v or not k.startswith("LTH_")}
        yield embedded | inherited | fixed | python_path()


def python_path() -> dict[str, str]:
    """Let children find this package where it is not installed but lies in a checkout."""
    root = Path(__file__).resolve().parent.parent
    if root.name in {"site-packages", "dist-packages"}:
        return {}
    return {"PYTHONPATH": os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))}


def url_of(listen: str) -> str:
    """Where this machine reaches what listens on `host:port`."""
    host, _, port = listen.rpartition(":")
    here = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104 - read, not bound
    return f"http://{here.get(host, host)}:{port}"


def _held_address(listen: str, port: int | None) -> tuple[socket.socket, str]:
    """Bind to an address where nobody listens; return the socket, which does not listen either, and `host:port`.

    While the socket is open the port is given to nobody who asks for any free one; whoever names it, as the API does,
    may share it with `SO_REUSEADDR`.

    Args:
        listen: The address, unless another port is wished.
        port: The port wished, 0 for any free one.

    Raises:
        PortBusy: If somebody listens there.
    """
    host, _, usual = listen.rpartition(":")
    wished = port if port is not None else int(usual)
    plain = host.removeprefix("[").removesuffix("]")
    holder = socket.socket(socket.AF_INET6 if ":" in plain else socket.AF_INET, socket.SOCK_STREAM)
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        holder.bind((plain, wished))
    except OSError as error:
        holder.close()
        reason = error.strerror or "it cannot be used"
        hint = "choose another with --port, or --port 0 for a free one"
        raise PortBusy(f"port {wished} of {host}: {reason}; {hint}") from None
    return holder, f"{host}:{holder.getsockname()[1]}"
