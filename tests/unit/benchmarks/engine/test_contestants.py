"""Every contestant that can run here does the reference's first steps, keeps pruned weights zero, and can be timed."""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from benchmarks.engine.children import Child
from benchmarks.engine.contestants.autograd import Autograd
from benchmarks.engine.contestants.autograd import open_contestant as open_autograd
from benchmarks.engine.contestants.jax_scan import open_contestant as open_jax
from benchmarks.engine.contestants.open_lth import PATCHES, patched_copy
from benchmarks.engine.contestants.pack import Pack
from benchmarks.engine.contestants.pack import open_contestant as open_pack
from benchmarks.engine.contestants.project import Project
from benchmarks.engine.contestants.project_pack import ProjectPack
from benchmarks.engine.harness import compare
from benchmarks.engine.lineup import jax
from benchmarks.engine.protocol import AbsentError, Contestant, Spent
from benchmarks.engine.work import Arrays, Work
from lth_core.engines.cpu.training import can_run
from tests.support.requires import require

STEPS = 5
RARE = 1e-4
Open = Callable[[Work], Contestant]


def native(work: Work) -> Contestant:
    require(can_run(), "the native kernels cannot run here")
    return Project(work, "cpu")


PLAIN: dict[str, Open] = {
    "autograd": Autograd,
    "autograd channels_last": lambda work: Autograd(work, layout="channels_last"),
    "pack": lambda work: Pack(work, 2),
}
ON_LENET = {**PLAIN, "ours": native, "our pack": lambda work: ProjectPack(work, 2, "own")}
ON_CONV = {**PLAIN, "ours": lambda work: Project(work, "conv"), "our pack": lambda work: ProjectPack(work, 2, "own")}
ON_RESNET = {"autograd": PLAIN["autograd"], "our pack": ON_CONV["our pack"]}


def check(work: Work, contestant: Contestant) -> None:
    for level in (0, 2):
        wanted = Project(work, "reference").first_steps(level, STEPS)
        found = contestant.first_steps(level, STEPS)
        assert len(found) >= contestant.num_replicates
        gates = compare("x", level, found, wanted)
        # a gradient that rounds to the other side of zero moves its own weight elsewhere, and no other one
        assert max(gate.share_beyond for gate in gates) < RARE, gates
        for weights in found:
            for name, kept in (work.mask(level) or {}).items():
                assert not np.any(weights[name][~kept])


def check_clock(contestant: Contestant) -> None:
    for cadence in (False, True):
        spent = contestant.window(1, cadence, 2, 10)
        assert spent.cpu_s > 0
        assert spent.wall_s > 0
    assert contestant.score(1).wall_s > 0


@pytest.mark.parametrize("name", ON_LENET)
def test_on_lenet_each_does_the_references_steps(lenet, name):
    contestant = ON_LENET[name](lenet)
    check(lenet, contestant)
    check_clock(contestant)


@pytest.mark.parametrize("name", ON_CONV)
def test_on_conv_2_each_does_the_references_steps(conv, name):
    contestant = ON_CONV[name](conv)
    check(conv, contestant)
    check_clock(contestant)


@dataclass
class InAChild:
    """A contestant behind its pipe; JAX must not be in a process that forks, as other tests do."""

    child: Child
    folder: Path

    @property
    def num_replicates(self) -> int:
        return self.child.num_replicates

    def first_steps(self, level: int, steps: int) -> list[Arrays]:
        return self.child.first_steps(level, steps, self.folder)

    def window(self, level: int, cadence: bool, warmup: int, steps: int) -> Spent:
        return self.child.window(level, evaluate=cadence, warmup=warmup, steps=steps)

    def score(self, level: int) -> Spent:
        return self.child.score(level)


@pytest.mark.parametrize("name", ["lenet", "conv"])
def test_jax_does_the_references_steps(name, request, tmp_path):
    require(importlib.util.find_spec("jax") is not None, "jax is not installed here")
    work = request.getfixturevalue(name)
    [entry] = jax("", (2,))
    child = Child(entry, work.folder, tmp_path / "log")
    try:
        child.wait_until_ready()
        contestant = InAChild(child, tmp_path)
        check(work, contestant)
        check_clock(contestant)
    finally:
        child.close()


@pytest.mark.parametrize("name", ON_RESNET)
def test_on_resnet_20_each_does_the_references_steps(residual, name):
    contestant = ON_RESNET[name](residual)
    check(residual, contestant)
    check_clock(contestant)


def test_replicates_of_a_pack_start_and_train_apart(lenet):
    first, second = Pack(lenet, 2).first_steps(0, STEPS)
    assert np.abs(first["fc1.weight"] - second["fc1.weight"]).max() > 0.01


def test_the_gate_sees_a_contestant_that_trains_on_another_order(lenet):
    class Late(Autograd):
        def begin(self, level: int, evaluate: bool) -> None:
            super().begin(level, evaluate)
            next(self._batches)

    wanted = Project(lenet, "reference").first_steps(0, STEPS)
    [gate] = compare("late", 0, Late(lenet).first_steps(0, STEPS), wanted)
    assert not gate.holds
    assert gate.share_beyond > 0.1


def test_the_gate_sees_weights_that_are_not_finite(lenet):
    wanted = lenet.start(0)
    broken = {**wanted, "out.bias": np.full(10, np.nan, dtype=np.float32)}
    [gate] = compare("broken", 0, [broken], [wanted])
    assert not gate.holds


def test_contestants_say_what_they_cannot(residual, lenet):
    nothing = argparse.Namespace(replicates=1, mode="graph", layout="")
    with pytest.raises(AbsentError, match="without normalisation"):
        open_pack(residual, nothing)
    with pytest.raises(AbsentError, match="without normalisation"):
        open_jax(residual, nothing)
    with pytest.raises(AbsentError, match="need a GPU"):
        open_autograd(lenet, nothing)


def test_a_checkout_is_patched_in_a_copy_only(tmp_path):
    checkout = tmp_path / "checkout"
    (checkout / "open_lth.py").parent.mkdir(parents=True)
    (checkout / "open_lth.py").write_text("")
    for name, old, _ in PATCHES:
        (checkout / name).parent.mkdir(exist_ok=True)
        (checkout / name).write_text(f"before {old} after")
    copy = patched_copy(checkout, tmp_path / "into")
    for name, old, new in PATCHES:
        assert (checkout / name).read_text() == f"before {old} after"
        assert (copy / name).read_text() == f"before {new} after"


def test_another_version_of_the_checkout_is_refused(tmp_path):
    with pytest.raises(AbsentError, match="is no checkout"):
        patched_copy(tmp_path, tmp_path / "into")
    (tmp_path / "open_lth.py").write_text("")
    with pytest.raises(AbsentError, match="has no"):
        patched_copy(tmp_path, tmp_path.with_name("elsewhere"))
