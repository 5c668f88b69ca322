"""Who may do what: keys, scopes, tenants, and pages of other origins."""

from __future__ import annotations

import http.client
import json
import re
import socket
import time

import httpx2
import pytest

from tests.contract.api.conftest import Api, World, start_api

READS = [
    "/v1/searches",
    "/v1/tickets",
    "/v1/uploads",
    "/v1/catalog",
    "/v1/presets",
    "/v1/datasets",
    "/v1/me",
    "/v1/quota",
    "/v1/cluster",
    "/v1/cluster/nodes",
]


def operations(api: Api, world: World, tenant: str) -> list[tuple[str, str]]:
    """Every operation below /v1 whose path names an object, filled with the ids of one tenant."""
    seeded = world.searches[tenant]
    ids = {
        "search_id": seeded.id,
        "lineage_id": seeded.lineages["winning_ticket"],
        "number": "1",
        "ticket_id": seeded.tickets["winning_ticket", 2],
        "upload_id": seeded.upload,
        "analysis": "overlap",
        "figure": "accuracy.svg",
    }
    found = []
    for path, methods in api.having(None).get("/openapi.json")["paths"].items():
        names = set(re.findall(r"\{(\w+)\}", path))
        if path.startswith("/v1/") and names & {"search_id", "ticket_id", "upload_id"}:
            found += [(method.upper(), path.format(**ids)) for method in methods]
    return found


def test_every_object_of_another_tenant_is_404(keyed: Api, world: World) -> None:
    bob = keyed.having(world.keys["bob"])
    tried = operations(keyed, world, "alice")
    assert len(tried) > 15
    for method, path in tried:
        answer = bob.send(method, path)
        assert answer.status == 404, (method, path, answer.status, answer.body)
        own = keyed.send(method, path)
        assert own.status != 404, (method, path)


def test_a_foreign_id_and_an_unknown_id_get_the_same_answer(keyed: Api, world: World) -> None:
    bob = keyed.having(world.keys["bob"])
    foreign = bob.send("GET", f"/v1/searches/{world.searches['alice'].id}").json()
    unknown = bob.send("GET", "/v1/searches/srch_01M818AAB20GX731VMRNSBV2H5").json()
    malformed = bob.send("GET", "/v1/searches/x").json()
    for answer in (foreign, unknown, malformed):
        answer.pop("request_id")
        answer.pop("instance")
    assert foreign == unknown == malformed


def test_lists_and_filters_show_nothing_of_others(keyed: Api, world: World) -> None:
    bob, alice = keyed.having(world.keys["bob"]), world.searches["alice"]
    names = {one["id"] for one in bob.get("/v1/searches?limit=200")["data"]}
    assert names == {world.searches["bob"].id}
    assert bob.get(f"/v1/tickets?search={alice.id}")["data"] == []
    tickets = world.searches["bob"].tickets.values()
    compared = bob.send("GET", f"/v1/tickets:compare?a={next(iter(tickets))}&b={alice.tickets['winning_ticket', 1]}")
    assert compared.status == 404


def test_one_idempotency_key_of_two_tenants_names_two_searches(keyed: Api, world: World) -> None:
    body = {"spec": {"model": {"name": "lenet_300_100"}, "dataset": {"name": "digits"}}}
    mine = keyed.send("POST", "/v1/searches", body, Idempotency_Key="shared")
    theirs = keyed.having(world.keys["bob"]).send("POST", "/v1/searches", body, Idempotency_Key="shared")
    assert (mine.status, theirs.status) == (202, 202)
    assert mine.json()["id"] != theirs.json()["id"]
    keyed.having(world.keys["bob"]).send("POST", theirs.headers["location"] + "/cancel")


@pytest.mark.parametrize("path", READS)
def test_the_auth_matrix_of_reading(keyed: Api, world: World, path: str) -> None:
    expected = {None: 401, "reader": 200, "alice": 200, "writer": 403, "admin": 403, "revoked": 401}
    for name, status in expected.items():
        answer = keyed.having(world.keys[name] if name else None).send("GET", path)
        assert answer.status == status, (name, answer.body)


def test_the_auth_matrix_of_writing(keyed: Api, world: World) -> None:
    body = {"spec": {"model": {"name": "lenet_300_100"}, "dataset": {"name": "digits"}}}
    expected = {None: 401, "reader": 403, "alice": 200, "writer": 200, "admin": 403, "revoked": 401}
    for name, status in expected.items():
        caller = keyed.having(world.keys[name] if name else None)
        assert caller.send("POST", "/v1/searches?validate_only=true", body).status == status, name


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Basic YTpi", "Bearer lth_short_x", "Bearer lth_aaaaaaaa_" + "x" * 43, "Bearer " + "x" * 4000],
)
def test_a_key_that_is_none_is_401_with_a_challenge(keyed: Api, header: str) -> None:
    answer = keyed.having(None).send("GET", "/v1/me", Authorization=header)
    assert (answer.status, answer.json()["code"]) == (401, "unauthenticated")
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_a_wrong_secret_under_a_known_id_is_401(keyed: Api, world: World) -> None:
    wrong = world.keys["alice"][:-4] + "0000"
    assert keyed.having(wrong).send("GET", "/v1/me").status == 401


def test_health_needs_no_key(keyed: Api) -> None:
    for path in ("/healthz", "/readyz", "/version", "/openapi.json", "/problems/not-found"):
        assert keyed.having(None).send("GET", path).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:80"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
)
def test_pages_of_other_origins_cannot_use_the_loopback_service(api: Api, headers: dict[str, str]) -> None:
    for method, path in (("GET", "/v1/searches"), ("POST", "/v1/searches"), ("GET", "/openapi.json")):
        answer = api.send(method, path, **headers)
        assert (answer.status, answer.json()["code"]) == (403, "cross_origin")


def test_a_key_is_honoured_on_loopback_too(api: Api, world: World) -> None:
    assert api.having(world.keys["bob"]).get("/v1/me")["tenant"] == "bob"
    assert api.having("lth_aaaaaaaa_" + "x" * 43).send("GET", "/v1/me").status == 401


def test_no_secret_reaches_the_log(keyed: Api, world: World) -> None:
    keyed.send("GET", "/v1/me")
    log = keyed.server.log.read_text()
    assert '"route": "/v1/me"' in log
    assert all(key not in log for key in world.keys.values())


def test_rates_are_limited_per_key_and_told(world: World) -> None:
    limited = start_api(world, "limited", "127.0.0.1", LTH_RATE_GETS="3", LTH_RATE_BAD_KEYS="2")
    try:
        answers = [limited.send("GET", "/v1/me") for _ in range(4)]
        assert [answer.status for answer in answers] == [200, 200, 200, 429]
        assert answers[0].headers["ratelimit-policy"] == '"read";q=3;w=60'
        assert int(answers[3].headers["retry-after"]) > 0
        assert limited.having(world.keys["bob"]).send("GET", "/v1/me").status == 200
        wrong = [limited.having("lth_aaaaaaaa_" + "x" * 43).send("GET", "/v1/me").status for _ in range(3)]
        assert wrong == [401, 401, 429]
    finally:
        limited.server.stop()


def test_keys_are_made_listed_and_revoked_on_the_admin_listener(keyed: Api) -> None:
    made = keyed.admin_send("POST", "/admin/v1/keys", {"tenant": "carol", "scopes": ["read"], "name": "short"})
    assert made.status_code == 201
    carol = keyed.having(made.json()["key"])
    assert carol.get("/v1/me")["tenant"] == "carol"
    listed = {key["id"]: key for key in keyed.admin_send("GET", "/admin/v1/keys").json()["data"]}
    assert listed[made.json()["id"]]["tenant"] == "carol"
    assert made.json()["key"] not in str(listed)
    assert keyed.admin_send("DELETE", f"/admin/v1/keys/{made.json()['id']}").status_code == 204
    assert carol.send("GET", "/v1/me").status == 401
    assert keyed.admin_send("DELETE", "/admin/v1/keys/zzzzzzzz").status_code == 404
    assert keyed.admin_send("POST", "/admin/v1/keys", {"tenant": "Carol!"}).status_code == 422
    assert keyed.admin_send("POST", "/admin/v1/keys", {"tenant": "carol", "expires_at": "soon"}).status_code == 422


def test_an_expired_key_is_401(keyed: Api) -> None:
    made = keyed.admin_send("POST", "/admin/v1/keys", {"tenant": "dave", "expires_at": "2020-01-01T00:00:00Z"})
    assert keyed.having(made.json()["key"]).send("GET", "/v1/me").status == 401


def test_metrics_are_on_a_port_of_their_own_with_route_templates(api: Api, world: World) -> None:
    api.get("/v1/me")
    text = httpx2.get(f"http://127.0.0.1:{api.metrics}/metrics").text
    assert 'route="/v1/me"' in text
    assert "lth_redis_up 1.0" in text
    assert "lth_http_unexpected_total 0.0" in text
    assert not re.search(r'"(srch|tkt|lin)_[0-9A-Z]{26}', text)
    assert api.send("GET", "/metrics").status == 404


def test_two_requests_on_one_connection_and_a_broken_one_leave_it_alive(api: Api) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=10)
    for _ in range(2):
        connection.request("GET", "/v1/me")
        assert json.loads(connection.getresponse().read())["tenant"] == "local"
    connection.close()
    with socket.create_connection(("127.0.0.1", api.port)) as half:
        half.sendall(b"POST /v1/searches HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n")
        half.sendall(b"Content-Length: 100\r\n\r\n{")
    time.sleep(0.2)
    assert api.get("/healthz")["status"] == "ok"
