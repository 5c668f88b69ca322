"""The chart speaks of the service as it is: its settings, routes, modules, metrics, and the Ray that is pinned."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.api.app import create_app
from service.api.metrics import Metrics
from service.settings import Settings
from tests.unit.deploy import charts
from tests.unit.deploy.charts import CHART, DEPLOY, SITUATIONS, objects_of

SETTINGS = {f"LTH_{name.upper()}" for name in Settings.model_fields}
in_every_situation = pytest.mark.parametrize("situation", SITUATIONS)


def variables(situation: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Every container's plain variables, with its name."""
    for pod in charts.pods(objects_of(situation)):
        for container in pod.containers:
            yield (
                container["name"],
                {each["name"]: each.get("value", "from a secret") for each in container.get("env", [])},
            )


@in_every_situation
def test_every_setting_in_the_chart_is_one_of_the_service(situation: str) -> None:
    used = {name for _, env in variables(situation) for name in env if name.startswith("LTH_")}
    assert used
    assert used <= SETTINGS


@in_every_situation
def test_the_settings_of_every_container_are_accepted_by_the_service(
    situation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    for container, env in variables(situation):
        own: dict[str, Any] = {
            name.removeprefix("LTH_").lower(): value for name, value in env.items() if name in SETTINGS
        }
        settings = Settings(**own)
        assert str(settings.home) == own.get("home", str(settings.home)), container


@in_every_situation
def test_api_and_dispatcher_mean_the_same_device_store_and_cluster(situation: str) -> None:
    env = dict(variables(situation))
    shared = ("LTH_STORE_URL", "LTH_AUTO_DEVICE", "LTH_RAY_ADDRESS", "LTH_REDIS_URL")
    assert [env["api"][name] for name in shared] == [env["dispatcher"][name] for name in shared]
    assert [env["api"][name] for name in shared] == [env["ray-worker"][name] for name in shared]


@in_every_situation
def test_auto_means_cuda_where_some_group_has_gpus(situation: str) -> None:
    (cluster,) = charts.of_kind(objects_of(situation), "RayCluster")
    has_gpus = any(group["rayStartParams"]["num-gpus"] != "0" for group in cluster["spec"]["workerGroupSpecs"])
    assert dict(variables(situation))["api"]["LTH_AUTO_DEVICE"] == ("cuda" if has_gpus else "cpu")


@in_every_situation
def test_ray_is_joined_by_token_and_under_the_name_that_the_operator_gives(situation: str) -> None:
    objects = objects_of(situation)
    (cluster,) = charts.of_kind(objects, "RayCluster")
    pod = charts.component(objects, "Deployment", "-dispatcher")["spec"]["template"]["spec"]
    token = next(volume for volume in pod["volumes"] if volume["name"] == "ray-token")
    assert token["secret"]["secretName"] == cluster["metadata"]["name"]
    env = dict(variables(situation))
    for name in ("dispatcher", "ray-node"):
        assert (env[name]["RAY_AUTH_MODE"], env[name]["RAY_AUTH_TOKEN_PATH"]) == ("token", "/run/secrets/ray/token")
    host = f"{cluster['metadata']['name']}-head-svc.{charts.NAMESPACE}.svc"
    assert env["dispatcher"]["LTH_RAY_ADDRESS"] == f"{host}:6379"
    assert f"--address={host}:6379" in pod["initContainers"][0]["command"]


def test_a_driver_finds_a_ray_node_of_its_own_machine() -> None:
    pod = charts.component(objects_of("default"), "Deployment", "-dispatcher")["spec"]["template"]["spec"]
    node, dispatcher = pod["initContainers"][0], pod["containers"][0]
    assert pod["shareProcessNamespace"] is True
    assert node["restartPolicy"] == "Always"
    assert "--num-cpus=0" in node["command"]
    mounts = [
        {each["mountPath"]: each["name"] for each in container["volumeMounts"]} for container in (node, dispatcher)
    ]
    assert [each["/tmp"] for each in mounts] == ["tmp", "tmp"]
    assert [each["/dev/shm"] for each in mounts] == ["shared-memory", "shared-memory"]


@in_every_situation
def test_every_module_that_a_container_runs_exists(situation: str) -> None:
    commands = [c.get("command", []) for pod in charts.pods(objects_of(situation)) for c in pod.containers]
    modules = {command[2] for command in commands if command[:2] == ["python", "-m"]}
    assert modules == {"service.api.server", "workers.dispatcher"}
    assert all(importlib.util.find_spec(module) for module in modules)


def test_every_probed_route_exists(tmp_path: Path) -> None:
    routes = {route.path for route in create_app(Settings(home=tmp_path)).state.routes}
    api = charts.component(objects_of("default"), "Deployment", "-api")["spec"]["template"]["spec"]["containers"][0]
    probed = {api[probe]["httpGet"]["path"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert probed == {"/healthz", "/readyz"}
    assert probed <= routes


def test_the_api_is_given_the_time_that_it_takes_for_open_requests() -> None:
    source = ast.parse((DEPLOY.parent / "service" / "api" / "server.py").read_text())
    (grace_s,) = (
        ast.literal_eval(node.value)
        for node in source.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "GRACE_S"
    )
    pod = charts.component(objects_of("default"), "Deployment", "-api")["spec"]["template"]["spec"]
    drain_s = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["terminationGracePeriodSeconds"] > drain_s + grace_s


def test_the_dashboard_asks_for_metrics_that_the_api_has() -> None:
    dashboard = json.loads((CHART / "dashboards" / "lottery-tickets.json").read_text())
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    keda = charts.component(objects_of("spot-gpus"), "ScaledObject", "-api")["spec"]["triggers"][0]["metadata"]["query"]
    names = {name for query in [*asked, keda] for name in re.findall(r"\blth_\w+", query)}
    shown = {sample.name for family in _observed().registry.collect() for sample in family.samples}
    assert names
    assert names <= shown


def test_the_dashboard_is_given_out_as_it_is() -> None:
    found = charts.component(objects_of("spot-gpus"), "ConfigMap", "-dashboard")
    assert json.loads(found["data"]["lottery-tickets.json"])["uid"] == "lottery-ticket-search"


def test_the_ray_of_the_cluster_is_the_ray_that_the_image_installs() -> None:
    pins = dict(re.findall(r"^([\w\-.\[\]]+)==(\S+)$", (DEPLOY.parent / "constraints.txt").read_text(), re.MULTILINE))
    assert yaml.safe_load((CHART / "values.yaml").read_text())["ray"]["version"] == pins["ray"]


def test_the_chart_has_the_version_of_the_service() -> None:
    project: dict[str, Any] = yaml.safe_load((CHART / "Chart.yaml").read_text())
    text = (DEPLOY.parent / "pyproject.toml").read_text()
    assert f'version = "{project["appVersion"]}"' in text


def _observed() -> Metrics:
    metrics = Metrics()
    metrics.observe("/healthz", "GET", 200, 0.01)
    return metrics


@in_every_situation
def test_engines_are_asked_for_up_to_what_all_groups_together_may_grow_to(situation: str) -> None:
    (cluster,) = charts.of_kind(objects_of(situation), "RayCluster")
    most = {"num-cpus": 0, "num-gpus": 0}
    for group in cluster["spec"]["workerGroupSpecs"]:
        for name in most:
            most[name] += group["maxReplicas"] * int(group["rayStartParams"][name])
    own = dict(variables(situation))["dispatcher"]
    assert [own["LTH_CLUSTER_CPUS"], own["LTH_CLUSTER_GPUS"]] == [str(value) for value in most.values()]
    assert most["num-cpus"] > 0
