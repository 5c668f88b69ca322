"""Events as pages and as a stream that goes on where it broke."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.client import HTTPResponse
from typing import Any

from tests.contract.api.conftest import Api, World

SSE = "text/event-stream"


def messages(answer: HTTPResponse) -> Iterator[dict[str, Any]]:
    """Parse a stream of server-sent events."""
    message: dict[str, Any] = {}
    for raw in answer:
        line = raw.decode().rstrip("\n")
        if not line and message:
            yield message
            message = {}
        elif line and not line.startswith(":"):
            name, _, value = line.partition(": ")
            message[name] = json.loads(value) if name == "data" else value


def test_pages_hold_every_event_once_oldest_first(keyed: Api, world: World) -> None:
    own = f"/v1/searches/{world.searches['alice'].id}/events"
    everything = keyed.get(f"{own}?limit=200")
    names = [event["event_id"] for event in everything["data"]]
    assert len(set(names)) == len(names)
    assert everything["data"][0]["type"] == "search.queued"
    assert everything["data"][-1]["type"] == "search.succeeded"
    paged: list[str] = []
    after = ""
    while True:
        page = keyed.get(f"{own}?limit=4{after}")
        paged += [event["event_id"] for event in page["data"]]
        if not page["has_more"]:
            break
        after = f"&after={page['next_after']}"
    assert paged == names


def test_events_are_filtered_by_type_and_lineage(keyed: Api, world: World) -> None:
    seeded = world.searches["alice"]
    own = f"/v1/searches/{seeded.id}/events?limit=200"
    committed = keyed.get(f"{own}&types=level.committed")["data"]
    assert len(committed) == 13
    chain = keyed.get(f"{own}&types=level.committed&lineage={seeded.lineages['winning_ticket']}")["data"]
    assert [event["level"] for event in chain] == [0, 1, 2, 3]
    assert keyed.send("GET", f"{own}&types=UPPER").json()["code"] == "bad_filter"


def test_a_stream_of_an_ended_search_tells_all_and_ends(keyed: Api, world: World) -> None:
    own = f"/v1/searches/{world.searches['alice'].id}/events"
    with keyed.open("GET", own, Accept=SSE) as answer:
        assert answer.headers["content-type"].startswith(SSE)
        told = list(messages(answer))
    assert [one["data"]["event_id"] for one in told] == [
        event["event_id"] for event in keyed.get(f"{own}?limit=200")["data"]
    ]
    assert told[-1]["event"] == "search.succeeded"


def test_a_broken_stream_goes_on_after_the_last_event_id(keyed: Api, world: World) -> None:
    own = f"/v1/searches/{world.searches['alice'].id}/events"
    with keyed.open("GET", own, Accept=SSE) as answer:
        told = list(messages(answer))
    for cut in (0, 5, len(told) - 2):
        with keyed.open("GET", own, Accept=SSE, Last_Event_ID=told[cut]["id"]) as answer:
            assert list(messages(answer)) == told[cut + 1 :]
    end = keyed.send("GET", own, Accept=SSE, Last_Event_ID=told[-1]["id"])
    assert (end.status, end.body) == (204, b"")


def test_a_position_that_is_none_is_refused_before_the_first_byte(keyed: Api, world: World) -> None:
    own = f"/v1/searches/{world.searches['alice'].id}/events"
    for position in ("nonsense", "1", "x.1-1", "1.99"):
        answer = keyed.send("GET", own, Accept=SSE, Last_Event_ID=position)
        assert (answer.status, answer.json()["code"]) == (422, "bad_event_id"), position
        assert keyed.send("GET", f"{own}?after={position}").json()["code"] == "bad_event_id"


def test_a_position_of_another_generation_is_answered_by_reset_and_everything(keyed: Api, world: World) -> None:
    own = f"/v1/searches/{world.searches['alice'].id}/events"
    with keyed.open("GET", own, Accept=SSE, Last_Event_ID="999999.1-1") as answer:
        told = list(messages(answer))
    assert told[0]["event"] == "reset"
    assert told[-1]["event"] == "search.succeeded"


def test_a_live_stream_tells_of_a_cancel_within_a_second_and_listeners_are_counted(keyed: Api, world: World) -> None:
    body = {"spec": {"model": {"name": "lenet_300_100"}, "dataset": {"name": "digits"}}}
    path = keyed.send("POST", "/v1/searches", body).headers["location"]
    heard: list[tuple[float, str]] = []

    def listen() -> None:
        with keyed.open("GET", f"{path}/events", Accept=SSE) as answer:
            for message in messages(answer):
                heard.append((time.monotonic(), message["event"]))
                if message["event"] == "search.cancelling":
                    return

    listener = threading.Thread(target=listen)
    listener.start()
    while not heard:
        time.sleep(0.01)
    begin = time.monotonic()
    keyed.send("POST", f"{path}/cancel")
    listener.join(10)
    assert [event for _, event in heard] == ["search.queued", "search.cancelling"]
    assert heard[-1][0] - begin < 1.5


def test_too_many_streams_of_one_key_are_refused(keyed: Api, world: World) -> None:
    path = f"/v1/searches/{world.searches['open'].id}/events"
    answers = [keyed.open("GET", path, Accept=SSE) for _ in range(11)]
    try:
        assert [answer.status for answer in answers] == [200] * 10 + [429]
    finally:
        for answer in answers:
            answer.close()
    deadline = time.monotonic() + 20
    while keyed.open("GET", path, Accept=SSE).status != 200:
        assert time.monotonic() < deadline, "closed streams are not given back"
        time.sleep(0.5)
