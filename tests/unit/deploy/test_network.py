"""The network policies admit what the service needs, and nothing else."""

from __future__ import annotations

import pytest

from tests.unit.deploy.charts import SITUATIONS, objects_of, render
from tests.unit.deploy.reach import reachable, way_out

IN_RAY = ("dispatcher", "ray-head", "ray-worker")
WITH_RECORD = ("api", "dispatcher", "ray-worker")
KUBERNETES, STORE = 6443, 443
in_every_situation = pytest.mark.parametrize("situation", SITUATIONS)


@in_every_situation
def test_only_the_parts_of_the_cluster_reach_each_other(situation: str) -> None:
    objects = objects_of(situation)
    within_ray = {(source, target) for source in IN_RAY for target in IN_RAY if source != target}
    has_valkey = any(found["kind"] == "StatefulSet" for found in objects)
    to_valkey = {(source, "valkey") for source in WITH_RECORD} if has_valkey else set()
    assert reachable(objects) == within_ray | to_valkey


@in_every_situation
def test_only_the_autoscaler_reaches_the_kubernetes_api(situation: str) -> None:
    assert way_out(objects_of(situation), KUBERNETES) == {"ray-head"}


def test_a_store_in_the_cloud_is_reached_by_those_who_read_and_write_it() -> None:
    assert way_out(objects_of("spot-gpus"), STORE) == {*WITH_RECORD, "ray-head"}


def test_a_store_on_a_volume_opens_no_way_out() -> None:
    assert way_out(objects_of("kind"), STORE) == {"ray-head"}


def test_without_policies_everybody_reaches_everybody() -> None:
    objects = render({"networkPolicy": {"enabled": False}})
    parts = {*IN_RAY, "api", "valkey"}
    assert reachable(objects) == {(source, target) for source in parts for target in parts if source != target}


def test_the_metadata_of_the_machine_is_out_of_reach() -> None:
    blocks = [
        peer["ipBlock"]
        for found in objects_of("default")
        if found["kind"] == "NetworkPolicy"
        for rule in found["spec"].get("egress", [])
        for peer in rule.get("to", [])
        if "ipBlock" in peer
    ]
    wide = [block for block in blocks if block["cidr"] == "0.0.0.0/0"]
    assert wide
    assert all("169.254.169.254/32" in block["except"] for block in wide)
