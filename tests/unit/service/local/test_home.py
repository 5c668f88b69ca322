"""The home folder: secrets, notes, the lock, and short socket names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from service.local.home import SOCKET_PATH_LIMIT, Home, HomeInUse


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home.at(tmp_path / "home")
    home.make()
    return home


def test_the_pepper_is_made_once_and_only_its_owner_may_read_it(home: Home) -> None:
    home.make_pepper()
    first = home.pepper.read_text()
    assert len(bytes.fromhex(first)) == 32
    assert home.pepper.stat().st_mode & 0o777 == 0o600
    home.make_pepper()
    assert home.pepper.read_text() == first


def test_a_home_belongs_to_one_service_at_a_time(home: Home) -> None:
    assert not home.is_held()
    lock = home.lock()
    assert home.is_held()
    with pytest.raises(HomeInUse, match="already in use"):
        home.lock()
    os.close(lock)
    assert not home.is_held()


def test_notes_are_readable_by_the_owner_only_and_broken_ones_are_none(home: Home) -> None:
    assert home.read(home.up_file) is None
    home.write(home.up_file, {"url": "http://127.0.0.1:1"})
    assert home.read(home.up_file) == {"url": "http://127.0.0.1:1"}
    assert home.up_file.stat().st_mode & 0o777 == 0o600
    home.up_file.write_text("{")
    assert home.read(home.up_file) is None


def test_sockets_of_a_deep_home_have_short_names(tmp_path: Path) -> None:
    deep = Home.at(tmp_path / ("d" * 60) / ("e" * 60))
    deep.make()
    folder = deep.short_run_folder("abc123")
    try:
        assert len(os.fsencode(folder / "valkey.sock")) <= SOCKET_PATH_LIMIT
        assert folder.resolve() == deep.run
    finally:
        folder.unlink()


def test_the_home_is_said_by_its_option_or_by_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LTH_HOME", str(tmp_path / "env"))
    assert Home.at(None).path == tmp_path / "env"
    assert Home.at(tmp_path / "option").path == tmp_path / "option"
    monkeypatch.delenv("LTH_HOME")
    assert Home.at(None).path == Path.home() / ".lth"
