"""The compose file of one GPU host starts what exists, in an order that works, and shows nothing to the outside."""

from __future__ import annotations

import importlib.util
import re
from typing import Any

import pytest
import yaml

from service.settings import Settings
from tests.unit.deploy.charts import DEPLOY

COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
of_every_service = pytest.mark.parametrize("name", sorted(SERVICES))


@of_every_service
def test_every_container_is_confined(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["mem_limit"]


@of_every_service
def test_every_image_is_pinned(name: str) -> None:
    image = re.sub(r"^\$\{\w+:-(.*)\}$", r"\1", SERVICES[name]["image"])
    _, _, tag = image.rpartition(":")
    assert tag
    assert tag != "latest"
    assert "/" not in tag


@of_every_service
def test_only_loopback_is_published(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


@of_every_service
def test_whatever_a_container_waits_for_tells_when_it_is_ready(name: str) -> None:
    for other, wait in SERVICES[name].get("depends_on", {}).items():
        assert wait["condition"] in ("service_healthy", "service_completed_successfully")
        if wait["condition"] == "service_healthy":
            assert "healthcheck" in SERVICES[other]


def test_every_setting_is_one_of_the_service() -> None:
    known = {f"LTH_{name.upper()}" for name in Settings.model_fields}
    used = {key for service in SERVICES.values() for key in service.get("environment", {}) if key.startswith("LTH_")}
    assert used
    assert used <= known


def test_api_and_dispatcher_share_one_record() -> None:
    api, dispatcher = SERVICES["api"]["environment"], SERVICES["dispatcher"]["environment"]
    assert {key: value for key, value in api.items() if key != "LTH_LISTEN"} == dispatcher


def test_every_variable_that_must_be_given_stands_in_the_example() -> None:
    text = (DEPLOY / "compose.yaml").read_text()
    given = set(re.findall(r"^(\w+)=", (DEPLOY / "env.example").read_text(), re.MULTILINE))
    assert set(re.findall(r"\$\{(\w+):\?", text)) <= given


def test_the_command_of_the_first_key_exists() -> None:
    (module,) = re.findall(r"python -m (\S+)", (DEPLOY / "env.example").read_text())
    assert importlib.util.find_spec(module)


def test_every_dockerfile_that_is_built_exists() -> None:
    builds = [service["build"] for service in SERVICES.values() if "build" in service]
    assert len(builds) == 2
    assert all((DEPLOY / build["context"] / build["dockerfile"]).is_file() for build in builds)


def test_every_volume_that_is_mounted_is_declared() -> None:
    mounted = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert mounted == set(COMPOSE["volumes"])
