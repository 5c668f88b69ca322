"""Settings come from the environment, and empty ones take their place under the home folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from service.settings import Settings


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"LTH_{name.upper()}", raising=False)


def test_everything_embedded_lies_under_the_home_folder(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    assert settings.redis_url == f"unix://{tmp_path}/run/valkey.sock"
    assert settings.store_url == f"file://{tmp_path}/objects"
    assert settings.pepper_file == tmp_path / "pepper"


def test_the_environment_sets_and_an_empty_text_means_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LTH_HOME", "/srv/lth")
    monkeypatch.setenv("LTH_REDIS_URL", "")
    monkeypatch.setenv("LTH_STORE_URL", "s3://bucket/prefix")
    monkeypatch.setenv("LTH_QUOTA_LIVE_SEARCHES", "7")
    settings = Settings()
    assert settings.redis_url == "unix:///srv/lth/run/valkey.sock"
    assert settings.store_url == "s3://bucket/prefix"
    assert settings.quota_live_searches == 7


def test_auto_means_the_device_there_is(tmp_path: Path) -> None:
    assert Settings(home=tmp_path).device_class == "cpu"
    assert Settings(home=tmp_path, num_gpus=1).device_class == "cuda"
    assert Settings(home=tmp_path, num_gpus=1, auto_device="cpu").device_class == "cpu"


@pytest.mark.parametrize("bad", [{"max_drivers": 0}, {"quota_lineages": 0}, {"log_level": "loud"}])
def test_settings_have_bounds(tmp_path: Path, bad: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Settings(home=tmp_path, **bad)


def test_the_record_starts_without_torch_ray_or_a_web_framework() -> None:
    code = (
        "import sys, service.store.record, service.settings; "
        "print([name for name in ('torch', 'ray', 'fastapi', 'torchvision') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
