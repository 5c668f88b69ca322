"""The local cluster's files: short enough for sockets, private, and made once."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from service.settings import Settings
from workers.ray_local import LONGEST_SOCKET_BYTES, MAX_SOCKET_PATH_BYTES, LocalRay, home_id, make_token


@pytest.mark.parametrize("home", ["/h", "/" + "a-very-long-name/" * 8 + "home"])
def test_sockets_have_names_that_the_kernel_accepts(home: str) -> None:
    folder = LocalRay(Settings(home=Path(home)), {}).folder
    assert len(str(folder)) + LONGEST_SOCKET_BYTES <= MAX_SOCKET_PATH_BYTES


def test_a_home_keeps_its_name_and_differs_from_others() -> None:
    assert home_id(Path("/a")) == home_id(Path("/a")) != home_id(Path("/b"))


def test_the_token_is_for_the_owner_only_and_stays_the_same(tmp_path: Path) -> None:
    file = make_token(tmp_path / "run" / "ray.token")
    token = file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o400
    assert make_token(file).read_text() == token
    assert len(token) == 64
