"""Known faults never give 500: Redis down, the store down, the index lost, a service that must not start or stops."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.contract.api.conftest import Api, World, start_api
from tests.support.processes import free_port
from tests.support.valkey import start_valkey, stop_valkey

BODY: dict[str, Any] = {"spec": {"model": {"name": "lenet_300_100"}, "dataset": {"name": "digits"}}}


def eventually(api: Api, path: str, wanted: int, within_s: float = 15.0) -> None:
    """Wait until a path answers with a status."""
    deadline = time.monotonic() + within_s
    while (status := api.send("GET", path).status) != wanted:
        assert time.monotonic() < deadline, (path, status)
        time.sleep(0.1)


def paths_of(world: World) -> list[str]:
    """What can be read of a search without the index."""
    seeded = world.searches["local"]
    search, ticket = f"/v1/searches/{seeded.id}", f"/v1/tickets/{seeded.tickets['winning_ticket', 2]}"
    chain = f"{search}/lineages/{seeded.lineages['winning_ticket']}"
    lists = ["/v1/searches", f"{search}/lineages", chain, f"{chain}/levels", f"{search}/curves", "/v1/datasets"]
    kept = [f"{search}/report?format=html", f"{search}/analysis/overlap", f"{ticket}/analysis/signs"]
    uploads = ["/v1/uploads", f"/v1/uploads/{seeded.upload}"]
    return [*lists, *kept, *uploads, search, ticket, f"{ticket}/mask", f"{ticket}/rewind", f"{ticket}/manifest"]


def test_with_redis_down_reads_are_degraded_and_posts_are_503_until_it_is_back(own_world: World) -> None:
    api = start_api(own_world, "redis-down", "127.0.0.1")
    try:
        before = {path: api.send("GET", path).body for path in paths_of(own_world)}
        own_world.valkey.kill()
        for path, body in before.items():
            begin = time.monotonic()
            answer = api.send("GET", path)
            assert answer.status == 200, (path, answer.body)
            assert answer.body == body
            assert time.monotonic() - begin < 5
        degraded = api.send("GET", f"/v1/searches/{own_world.searches['local'].id}")
        assert degraded.headers["x-lth-degraded"] == "redis"
        refused = api.send("POST", "/v1/searches", BODY)
        assert (refused.status, refused.json()["code"]) == (503, "redis")
        assert int(refused.headers["retry-after"]) > 0
        events = api.send("GET", f"/v1/searches/{own_world.searches['local'].id}/events")
        assert (events.status, events.json()["code"]) == (503, "redis")
        assert api.get("/readyz")["status"] == "degraded"
        assert api.get("/healthz")["status"] == "ok"
        own_world.valkey.run()
        deadline = time.monotonic() + 15
        while api.send("POST", "/v1/searches", BODY).status != 202:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert unexpected(api) == 0
    finally:
        api.server.stop()


def test_a_wiped_index_is_rebuilt_on_the_admin_listener_with_the_same_answers(own_world: World) -> None:
    api = start_api(own_world, "rebuilt", "127.0.0.1")
    try:
        before = {path: api.send("GET", path).body for path in paths_of(own_world)}
        answer = api.admin_send("POST", "/admin/v1/rebuild")
        assert answer.status_code == 200
        assert answer.json()["generation"]
        assert before == {path: api.send("GET", path).body for path in before}
        page = api.get(f"/v1/searches/{own_world.searches['local'].id}/events")
        assert page["data"][0]["type"] == "reset"
    finally:
        api.server.stop()


def test_with_the_store_down_downloads_and_posts_are_503(own_world: World) -> None:
    api = start_api(own_world, "store-down", "127.0.0.1")
    objects = own_world.folder / "objects"
    try:
        ticket = f"/v1/tickets/{own_world.searches['local'].tickets['winning_ticket', 2]}"
        shutil.move(objects, objects.with_name("away"))
        objects.write_bytes(b"")  # a file where the folder was: every access fails
        for method, path in (("POST", "/v1/searches"), ("GET", f"{ticket}/mask")):
            answer = api.send(method, path, BODY if method == "POST" else None)
            assert answer.status in (502, 503), (method, path, answer.body)
        assert api.send("GET", f"/v1/searches/{own_world.searches['local'].id}").status == 200
        objects.unlink()
        shutil.move(objects.with_name("away"), objects)
        eventually(api, f"{ticket}/mask", 200)
        assert unexpected(api) == 0
    finally:
        api.server.stop()


def unexpected(api: Api) -> float:
    """Errors that no rule foresaw."""
    import httpx2

    text = httpx2.get(f"http://127.0.0.1:{api.metrics}/metrics").text
    line = next(line for line in text.splitlines() if line.startswith("lth_http_unexpected_total"))
    return float(line.split()[1])


def test_sigterm_ends_the_process_within_its_grace_streams_included(own_world: World) -> None:
    api = start_api(own_world, "graceful", "127.0.0.1")
    path = api.send("POST", "/v1/searches", BODY).headers["location"]
    with api.open("GET", f"{path}/events", Accept="text/event-stream") as answer:
        assert answer.readline() == b"event: search.queued\n"
        begin = time.monotonic()
        api.server.signal(signal.SIGTERM)
        rest = answer.read()
    assert api.server.process is not None
    assert api.server.process.wait(10) == 0
    assert time.monotonic() - begin < 10  # 5 s of grace, and a busy machine
    assert b"search." in rest
    assert not Path(api.admin).exists()


def start_refused(env: dict[str, str]) -> str:
    """Start a process that must refuse, and return what it says."""
    command = [sys.executable, "-m", "service.api.server"]
    own = {**os.environ, **env}
    done = subprocess.run(command, env=own, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1, done.stderr
    return done.stderr.strip().splitlines()[-1]


def test_an_open_address_without_keys_refuses_to_start_until_one_is_made(tmp_path: Path) -> None:
    valkey = start_valkey()
    env = {
        "LTH_HOME": str(tmp_path),
        "LTH_REDIS_URL": valkey.url,
        "LTH_LISTEN": f"0.0.0.0:{free_port()}",
        "LTH_ADMIN_LISTEN": str(valkey.socket.parent / "admin.sock"),
    }
    try:
        assert "there is no API key" in start_refused(env)
        command = [sys.executable, "-m", "service.api.first_key", "--tenant", "alice"]
        made = subprocess.run(
            command, env={**os.environ, **env}, capture_output=True, text=True, timeout=60, check=True
        )
        assert made.stdout.startswith("lth_")
        assert "cannot listen" in start_refused({**env, "LTH_LISTEN": "203.0.113.7:80"})
    finally:
        stop_valkey(valkey)


def test_a_redis_that_evicts_keys_is_refused_in_one_sentence(tmp_path: Path) -> None:
    valkey = start_valkey("--maxmemory-policy", "allkeys-lru")
    try:
        said = start_refused({"LTH_HOME": str(tmp_path), "LTH_REDIS_URL": valkey.url, "LTH_LISTEN": "127.0.0.1:0"})
        assert "noeviction" in said
    finally:
        stop_valkey(valkey)
