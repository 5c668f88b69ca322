"""The OpenAPI document and the service agree: schemathesis finds no undocumented answer and no server error."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.contract.api.conftest import Api, World
from tests.support.requires import require

BUDGET_S = 45
CONFIG = """
seed = 20261122
max-failures = 20
headers = {{ Authorization = "Bearer {key}" }}
color = false

[generation]
allow-x00 = false

[cache]
enabled = false

[phases.fuzzing]
generation.max-examples = 8

[phases.stateful]
generation.max-examples = 8

[parameters]
"path.search_id" = "{search}"
"path.lineage_id" = "{lineage}"
"path.ticket_id" = "{ticket}"
"path.upload_id" = "{upload}"
"path.figure" = "accuracy.svg"
"query.a" = "{ticket}"
"query.b" = "{ticket}"

[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", 501]

[checks.positive_data_acceptance]
expected-statuses = ["2xx", "3xx", 401, 403, 404, 406, 409, 412, 415, 416, 422, 429, 501]

[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 406, 409, 413, 415, 416, 422, 429, 501]
"""


def test_the_document_and_the_service_agree(keyed: Api, world: World, tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("schemathesis")
    require(program.exists(), "the package schemathesis is missing")
    seeded = world.searches["fuzz"]
    ids = {
        "key": world.keys["fuzz"],
        "search": seeded.id,
        "lineage": seeded.lineages["winning_ticket"],
        "ticket": seeded.tickets["winning_ticket", 2],
        "upload": seeded.upload,
    }
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG.format(**ids))
    command = [str(program), "--config-file", str(config), "run", f"{keyed.url}/openapi.json"]
    command += ["--max-time", str(BUDGET_S), "--warnings", "off", "--no-shrink"]
    env = {**os.environ, "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout[-12_000:] + done.stderr[-2000:]


def test_every_path_refuses_every_other_method_and_names_its_own(keyed: Api) -> None:
    for path, operations in keyed.get("/openapi.json")["paths"].items():
        filled = path.replace("{", "").replace("}", "")
        allowed = sorted(method.upper() for method in operations)
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE"} - set(allowed):
            answer = keyed.send(method, filled)
            assert answer.status == 405, (method, path)
            assert answer.headers["allow"] == ", ".join(allowed)


def test_every_example_of_a_body_is_accepted(keyed: Api) -> None:
    document = keyed.get("/openapi.json")
    for operation in ("/v1/searches", "/v1/searches:estimate"):
        content = document["paths"][operation]["post"]["requestBody"]["content"]["application/json"]
        for example in content["examples"].values():
            answer = keyed.send("POST", "/v1/searches:estimate", example["value"])
            assert answer.status == 200, answer.body


def test_every_operation_documents_the_common_refusals_and_every_schema_is_valid(keyed: Api) -> None:
    document = keyed.get("/openapi.json")
    assert document["openapi"].startswith("3.1")
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert {"404", "405", "406", "422", "500", "503"} <= set(operation["responses"]), path
            assert ("401" in operation["responses"]) == path.startswith("/v1/")
    assert "NaN" not in json.dumps(document)
