"""The images are small where they can be, run as nobody special, and name what they are made of."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.requires import require
from tests.unit.deploy.charts import DEPLOY

ROOT = DEPLOY.parent
IMAGES = sorted((DEPLOY / "images").glob("*.Dockerfile"))
of_every_image = pytest.mark.parametrize("file", IMAGES, ids=lambda path: path.name)


def instructions(file: Path) -> list[tuple[str, str]]:
    """Instructions of a Dockerfile with their arguments, lines joined and comments left out."""
    lines = [line for line in file.read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line)]


def last_stage(file: Path) -> list[tuple[str, str]]:
    """The instructions that make the image itself."""
    found = instructions(file)
    start = max(index for index, (word, _) in enumerate(found) if word == "FROM")
    return found[start:]


@of_every_image
def test_hadolint_has_nothing_to_say(file: Path) -> None:
    program = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
    require(program, "hadolint is not installed")
    assert program is not None
    done = subprocess.run([program, "--no-color", str(file)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@of_every_image
def test_the_base_is_pinned_and_can_be_pinned_to_a_digest(file: Path) -> None:
    arguments = dict(rest.split("=", 1) for word, rest in instructions(file) if word == "ARG" and "=" in rest)
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", arguments["PYTHON_IMAGE"])
    stages = [rest.split() for word, rest in instructions(file) if word == "FROM"]
    assert stages[0][0] == "${PYTHON_IMAGE}"
    assert {stage[0] for stage in stages} <= {"${PYTHON_IMAGE}"} | {stage[2] for stage in stages}


def test_all_nodes_of_a_cluster_run_one_python() -> None:
    assert len({next(rest for word, rest in instructions(file) if word == "ARG") for file in IMAGES}) == 1


@of_every_image
def test_nobody_is_root_and_nothing_is_installed_after_the_build(file: Path) -> None:
    stage = last_stage(file)
    assert ("USER", "10001:10001") in stage
    assert not any("apt-get" in rest or "pip install" in rest for _, rest in stage)


def test_only_the_worker_has_the_compiler_that_launching_gpu_kernels_takes() -> None:
    bases = {file.name: last_stage(file)[0][1] for file in IMAGES}
    assert bases == {"api.Dockerfile": "${PYTHON_IMAGE} AS api", "worker.Dockerfile": "compiler AS worker"}


@of_every_image
def test_only_named_folders_are_written_to(file: Path) -> None:
    stage = last_stage(file)
    assert ("VOLUME", '["/var/lib/lth", "/tmp"]') in stage
    variables = next(rest for word, rest in stage if word == "ENV").split()
    assert {"HOME=/var/lib/lth", "LTH_HOME=/var/lib/lth", "PYTHONDONTWRITEBYTECODE=1"} <= set(variables)


@of_every_image
def test_every_image_tells_its_health_and_its_origin(file: Path) -> None:
    words = [word for word, _ in last_stage(file)]
    assert words.count("HEALTHCHECK") == 1
    labels = next(rest for word, rest in last_stage(file) if word == "LABEL")
    names = {"title", "description", "licenses", "version", "revision"}
    assert names <= set(re.findall(r"org\.opencontainers\.image\.(\w+)=", labels))


@of_every_image
def test_every_package_is_installed_under_the_pins(file: Path) -> None:
    installs = [rest for word, rest in instructions(file) if word == "RUN" and "pip install" in rest]
    assert installs
    assert all("pip install --constraint constraints.txt" in rest for rest in installs)


def test_the_api_has_neither_torch_nor_ray() -> None:
    installs = [rest for word, rest in instructions(DEPLOY / "images" / "api.Dockerfile") if word == "RUN"]
    assert not any("torch" in rest or "ray" in rest or "[worker]" in rest for rest in installs)


@of_every_image
def test_whatever_is_copied_exists_and_passes_the_ignore_file(file: Path) -> None:
    ignored = (file.parent / f"{file.name}.dockerignore").read_text().splitlines()
    admitted = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    assert "*" in ignored
    copies = [rest.split()[:-1] for word, rest in instructions(file) if word == "COPY" and "--from" not in rest]
    copied = {name for names in copies for name in names}
    assert copied == admitted
    assert [name for name in sorted(copied) if not (ROOT / name).exists()] == []


@of_every_image
def test_the_health_check_is_a_program_that_compiles(file: Path) -> None:
    check = next(rest for word, rest in last_stage(file) if word == "HEALTHCHECK")
    match = re.search(r'"-c", "(.+)"\]$', check)
    assert match is not None
    compile(match[1], file.name, "exec")
