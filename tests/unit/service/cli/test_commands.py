"""The commands of `lth` against a real HTTP server: output, JSON and exit codes."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from service.cli.main import app
from tests.support.processes import free_port
from tests.support.scripted_service import Says, ScriptedService, page, problem, scripted_service, stream
from tests.support.service_documents import PACKED, SEARCH, TICKET, search, tell_everything

EVENTS = f"/v1/searches/{SEARCH}/events"
PRESET = {"name": "lenet-digits", "spec": {"model": {"name": "lenet_300_100"}, "train": {"steps": 400}}}


@pytest.fixture
def service() -> Iterator[ScriptedService]:
    with scripted_service() as one:
        one.on("GET", "/v1/presets/lenet-digits", Says(document=PRESET))
        one.on("POST", "/v1/searches", Says(202, search("queued")))
        tell_everything(one)
        yield one


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LTH_HOME", str(tmp_path / "home"))
    for name in ("LTH_URL", "LTH_API_KEY", "LTH_ADMIN_LISTEN"):
        monkeypatch.delenv(name, raising=False)


def lth(*words: str, url: str = "", stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, [*words, *(["--url", url] if url else [])], input=stdin)


def ended(status: str) -> dict[str, Any]:
    return {"event_id": "end", "type": f"search.{status}", "at": "2026-11-22T09:31:15.596Z", "search": SEARCH}


def test_submit_sends_the_preset_with_the_overrides(service: ScriptedService) -> None:
    words = ["--set", "train.steps=6000", "--set", "replicates=3", "--name", "mine", "--label", "figure=4"]
    result = lth("submit", "--preset", "lenet-digits", *words, url=service.url)
    assert (result.exit_code, result.stdout.strip()) == (0, SEARCH)
    [asked] = service.asked_for("POST", "/v1/searches")
    body = asked.json()
    assert body["name"] == "mine"
    assert body["labels"] == {"figure": "4"}
    assert body["spec"] == {"model": {"name": "lenet_300_100"}, "train": {"steps": 6000}, "replicates": 3}
    assert asked.headers["idempotency-key"]


@pytest.mark.parametrize("kind", ["json", "toml", "stdin", "bare spec"])
def test_submit_reads_json_toml_and_stdin(service: ScriptedService, tmp_path: Path, kind: str) -> None:
    body = {"name": "n", "spec": {"train": {"steps": 7}}} if kind != "bare spec" else {"train": {"steps": 7}}
    file = tmp_path / f"body.{'toml' if kind == 'toml' else 'json'}"
    file.write_text('name = "n"\n[spec.train]\nsteps = 7\n' if kind == "toml" else json.dumps(body))
    name = "-" if kind == "stdin" else str(file)
    result = lth("submit", name, url=service.url, stdin=json.dumps(body))
    assert result.exit_code == 0, result.output
    assert service.asked_for("POST", "/v1/searches")[0].json()["spec"] == {"train": {"steps": 7}}


def test_an_estimate_stores_nothing_and_prints_the_size(service: ScriptedService) -> None:
    estimate = {"settings": 1, "lineages": 6, "levels": 51, "steps": 20400, "fits": True}
    service.on("POST", "/v1/searches", Says(document=estimate))
    result = lth("submit", "--preset", "lenet-digits", "--estimate", url=service.url)
    assert result.exit_code == 0
    assert "51 levels" in result.stdout
    assert "validate_only=true" in service.asked_for("POST", "/v1/searches")[0].query


def test_an_unreadable_body_is_a_usage_error(service: ScriptedService, tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text("{")
    for words in (["submit"], ["submit", str(tmp_path / "none.json")], ["submit", str(tmp_path / "broken.json")]):
        assert lth(*words, url=service.url).exit_code == 2
    assert service.asked_for("POST", "/v1/searches") == []


def test_a_refused_spec_shows_pointer_and_bound_and_exits_2(service: ScriptedService) -> None:
    refusal = problem(422, "invalid_spec", "the spec is not valid")
    errors = [{"pointer": "/spec/prune/fraction", "detail": "must be less than 1, got 1.0"}]
    service.on("POST", "/v1/searches", Says(422, refusal.document | {"errors": errors}))
    result = lth("submit", "--preset", "lenet-digits", url=service.url)
    assert result.exit_code == 2
    assert "/spec/prune/fraction" in result.stderr
    assert "must be less than 1" in result.stderr


@pytest.mark.parametrize(
    ("status", "code", "exit_code"),
    [(401, "unauthenticated", 6), (403, "missing_scope", 6), (404, "not_found", 7), (501, "not_supported", 2)],
)
def test_refusals_have_their_exit_codes(service: ScriptedService, status: int, code: str, exit_code: int) -> None:
    service.on("GET", f"/v1/searches/{SEARCH}", problem(status, code))
    assert lth("show", SEARCH, url=service.url).exit_code == exit_code


def test_errors_are_json_on_stderr_if_asked(service: ScriptedService) -> None:
    result = lth("show", "srch_nobody", "--json", url=service.url)
    assert result.exit_code == 7
    assert json.loads(result.stderr)["error"]["code"] == "not_found"
    assert result.stdout == ""


def test_a_service_that_is_not_there_exits_1_soon() -> None:
    begin = time.monotonic()
    result = lth("ls", url=f"http://127.0.0.1:{free_port()}")
    assert result.exit_code == 1
    assert "no answer from" in result.stderr
    assert time.monotonic() - begin < 10


@pytest.mark.parametrize(("status", "exit_code"), [("succeeded", 0), ("failed", 3), ("cancelled", 4), ("partial", 5)])
def test_wait_and_watch_say_by_their_exit_code_how_the_search_ended(
    service: ScriptedService, status: str, exit_code: int
) -> None:
    tell_everything(service, status)
    service.on("GET", EVENTS, stream(("1.1", ended(status))))
    assert lth("submit", "--preset", "lenet-digits", "--wait", url=service.url).exit_code == exit_code
    watched = lth("watch", SEARCH, url=service.url)
    assert watched.exit_code == exit_code
    assert f"search.{status}" in watched.stdout


def test_a_wait_that_takes_too_long_exits_124(service: ScriptedService) -> None:
    tell_everything(service, "running")
    words = ["submit", "--preset", "lenet-digits", "--wait", "--timeout", "0.1"]
    result = lth(*words, url=service.url)
    assert result.exit_code == 124
    assert "it goes on" in result.stderr


def test_ctrl_c_detaches_and_says_that_the_search_goes_on(service: ScriptedService, tmp_path: Path) -> None:
    tell_everything(service, "running")
    service.on("GET", EVENTS, problem(503, "redis", Retry_After="30"))
    argv = [sys.executable, "-m", "service.cli.main", "watch", SEARCH, "--url", service.url]
    process = subprocess.Popen(argv, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=dict(os.environ))
    while not service.asked_for("GET", EVENTS):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "the search goes on" in errors


def test_on_a_terminal_the_progress_is_live_and_ends_with_the_results(service: ScriptedService) -> None:
    root = f"/v1/searches/{SEARCH}"
    service.on("GET", root, *[Says(document=search("running"))] * 3, Says(document=search()))
    committed = {"event_id": "a", "type": "level.committed", "lineage": "lin_random_reinit_1", "level": 2}
    measured = {"data": {"density": 0.64, "test_accuracy": 0.9512}}
    service.on("GET", EVENTS, stream(("1.1", committed | measured), ("1.2", ended("succeeded"))))
    code, text = on_terminal("watch", SEARCH, "--url", service.url)
    assert code == 0
    for word in ("Ctrl-C detaches", "4/21 levels", "random reinit", "0.9512", "dense", "best in bold"):
        assert word in text, word


def on_terminal(*words: str) -> tuple[int, str]:
    """Run `lth` on a terminal of its own."""
    mine, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (40, 120))
    env = os.environ | {"TERM": "xterm-256color", "COLUMNS": "120"}
    process = subprocess.Popen(
        [sys.executable, "-m", "service.cli.main", *words], stdin=theirs, stdout=theirs, stderr=theirs, env=env
    )
    os.close(theirs)
    seen = b""
    with contextlib.suppress(OSError):  # the terminal is gone when its last process is
        while chunk := os.read(mine, 65536):
            seen += chunk
    os.close(mine)
    return process.wait(20), seen.decode(errors="replace")


def test_the_list_the_search_and_its_results_are_shown(service: ScriptedService) -> None:
    listed = lth("ls", url=service.url)
    assert SEARCH in listed.stdout
    assert "succeeded" in listed.stdout
    shown = lth("show", SEARCH, url=service.url)
    assert "lenet_300_100 on digits, n = 3 replicates" in shown.stdout
    assert "0.6400" in shown.stdout
    document = json.loads(lth("show", SEARCH, "--json", url=service.url).stdout)
    assert document["results"][2]["treatments"]["random_reinit"]["test_accuracy"]["num"] == 3


def test_events_are_printed_as_lines_or_json(service: ScriptedService) -> None:
    committed = {
        "event_id": "lin_winning_ticket_0:2:committed",
        "type": "level.committed",
        "at": "2026-11-22T09:31:15.596Z",
        "search": SEARCH,
        "lineage": "lin_winning_ticket_0",
        "level": 2,
        "data": {"density": 0.64, "test_accuracy": 0.975},
    }
    service.on("GET", EVENTS, page(committed))
    line = lth("events", SEARCH, url=service.url).stdout
    assert "winning_ticket seed 0  level 2  density 0.6400  accuracy 0.9750" in line
    assert json.loads(lth("events", SEARCH, "--json", url=service.url).stdout) == committed
    service.on("GET", EVENTS, stream(("1.1", committed), ("1.2", ended("succeeded"))))
    followed = lth("events", SEARCH, "-f", "--json", url=service.url).stdout.splitlines()
    assert [json.loads(one)["type"] for one in followed] == ["level.committed", "search.succeeded"]


def test_cancel_sends_its_mode(service: ScriptedService) -> None:
    service.on("POST", f"/v1/searches/{SEARCH}/cancel", Says(202, search("cancelling")))
    result = lth("cancel", SEARCH, "--mode", "drain", url=service.url)
    assert "cancelling" in result.stdout
    assert service.asked_for("POST", f"/v1/searches/{SEARCH}/cancel")[0].json() == {"mode": "drain"}
    assert lth("cancel", SEARCH, "--mode", "softly", url=service.url).exit_code == 2


def test_a_ticket_is_downloaded_and_its_digest_checked(service: ScriptedService, tmp_path: Path) -> None:
    service.on("GET", f"/v1/tickets/{TICKET}/rewind", Says(body=b"weights"))
    service.on("GET", f"/v1/tickets/{TICKET}/final", problem(404, "not_kept"))
    words = ["tickets", "get", TICKET, "-o", str(tmp_path / "t"), "--format", "packed", "--json"]
    files = json.loads(lth(*words, url=service.url).stdout)["files"]
    assert [Path(file).name for file in files] == ["manifest.json", "mask.bits", "rewind.safetensors"]
    service.on("GET", f"/v1/tickets/{TICKET}/mask", Says(body=PACKED[:-1] + bytes([PACKED[-1] ^ 1])))
    assert lth(*words, url=service.url).exit_code == 9


def test_tickets_are_listed_with_their_filters(service: ScriptedService) -> None:
    result = lth("tickets", "ls", "--search", SEARCH, "--verdict", "certified", "--max-density", "0.5", url=service.url)
    assert TICKET in result.stdout
    query = service.asked_for("GET", "/v1/tickets")[0].query
    assert "verdict=certified" in query
    assert "max_density=0.5" in query


def test_a_plot_is_written(service: ScriptedService, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "figure.svg"
    assert lth("plot", SEARCH, "-o", str(path), url=service.url).exit_code == 0
    assert "n = 3 replicates" in path.read_text() or path.stat().st_size > 5000


def test_presets_and_data_sets_are_listed(service: ScriptedService) -> None:
    service.on("GET", "/v1/presets", page({"name": "lenet-digits", "description": "The demo.", "lineages": 9}))
    digits = {"name": "digits", "digest": "ab" * 32, "shape": [1, 8, 8], "num_classes": 10, "num_train": 1437}
    service.on("GET", "/v1/datasets", page(digits | {"num_test": 360}))
    assert "The demo." in lth("preset", "ls", url=service.url).stdout
    assert json.loads(lth("preset", "show", "lenet-digits", "--json", url=service.url).stdout) == PRESET
    listed = lth("data", "ls", url=service.url).stdout
    assert "1×8×8" in listed
    assert "1,437" in listed


def test_keys_and_rebuild_go_through_the_admin_listener(
    service: ScriptedService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LTH_ADMIN_LISTEN", service.url.removeprefix("http://"))
    made = {"id": "ab12cd34", "tenant": "alice", "scopes": ["read"], "key": "lth_ab12cd34_secret"}
    service.on("POST", "/admin/v1/keys", Says(201, made))
    service.on("GET", "/admin/v1/keys", page({k: v for k, v in made.items() if k != "key"}))
    service.on("DELETE", "/admin/v1/keys/ab12cd34", Says(204))
    service.on("POST", "/admin/v1/rebuild", Says(document={"object": "rebuild", "generation": 3}))
    created = lth("keys", "create", "--tenant", "alice", "--scope", "read")
    assert created.stdout.strip() == "lth_ab12cd34_secret"
    assert service.asked_for("POST", "/admin/v1/keys")[0].json() == {"tenant": "alice", "scopes": ["read"]}
    assert "alice" in lth("keys", "ls").stdout
    assert lth("keys", "revoke", "ab12cd34").exit_code == 0
    assert "generation 3" in lth("admin", "rebuild").stdout


def test_doctor_prints_one_line_per_check_and_a_fix(service: ScriptedService) -> None:
    service.on("GET", "/readyz", Says(document={"status": "degraded", "redis": False, "store": True}))
    result = lth("doctor", url=service.url)
    assert "python" in result.stdout
    assert "away: redis" in result.stdout
    found = {one["name"]: one for one in json.loads(lth("doctor", "--json", url=service.url).stdout)}
    assert found["valkey"]["state"] == "ok"
    assert found["service"]["state"] == "warning"


def test_neither_torch_nor_ray_is_imported_by_the_command_line() -> None:
    heavy = "{'torch', 'ray', 'redis', 'obstore', 'matplotlib', 'torchvision', 'service.store'}"
    code = f"import sys, service.cli.main; print(sorted({heavy} & set(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
