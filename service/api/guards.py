"""Guards of the loopback service against web pages: the `Host` must be loopback and no foreign page may call."""

from __future__ import annotations

import ipaddress

from starlette.datastructures import Headers

from service.api.errors import ApiError

_OWN_FETCHES = frozenset({"same-origin", "none"})


def is_loopback_host(host: str) -> bool:
    """Tell whether a host name or address means this machine and nothing else."""
    name = host.strip().lower().removesuffix(".").removeprefix("[").removesuffix("]")
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def host_of(authority: str) -> str:
    """Return the host of `host`, `host:port`, `[v6]` or `[v6]:port`."""
    if authority.startswith("["):
        return authority.partition("]")[0] + "]"
    return authority.rpartition(":")[0] if authority.count(":") == 1 else authority


def check_same_machine(headers: Headers) -> None:
    """Refuse what a web page of another origin, or one that rebinds its name to loopback, could have sent.

    Raises:
        ApiError: `cross_origin`.
    """
    hosts = headers.getlist("host")
    if len(hosts) != 1 or not is_loopback_host(host_of(hosts[0])):
        raise ApiError("cross_origin", "without an API key the Host header must name the loopback interface")
    origin = headers.get("origin")
    if origin is not None and origin.lower() not in (f"http://{hosts[0]}".lower(), f"https://{hosts[0]}".lower()):
        raise ApiError("cross_origin", "without an API key no other origin may call this service")
    if headers.get("sec-fetch-site", "none").lower() not in _OWN_FETCHES:
        raise ApiError("cross_origin", "without an API key no other site may call this service")
