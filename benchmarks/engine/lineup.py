"""Who takes part in which experiment, under which name and with which options."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.engine.children import REPOSITORY, Entry, module
from benchmarks.engine.contestants.open_lth import patched_copy
from benchmarks.engine.protocol import AbsentError

REFERENCE = "reference"


def open_lth(checkout: Path | None, work: Path, folder: Path, num_workers: Sequence[int] = (0, 2, 4)) -> list[Entry]:
    """Return open_lth with each number of loader processes; its data are those of the work folder."""
    copy, absent = folder, None
    try:
        if checkout is None:
            raise AbsentError("no checkout was named (--open-lth)")
        copy = patched_copy(checkout, folder)
    except AbsentError as reason:
        absent = str(reason)
    environment = {"HOME": str(work / "home"), "PYTHONPATH": f"{REPOSITORY}:{copy}"}
    return [
        Entry(
            f"open_lth {workers} workers",
            module("open_lth", "--workers", str(workers)),
            environment=environment,
            absent=absent,
            tests=False,
        )
        for workers in num_workers
    ]


def jax(interpreter: str | None, sizes: Sequence[int]) -> list[Entry]:
    """Return JAX packs, run by the interpreter that has jax; an empty name is this one."""
    absent = "not asked for (--jax)" if interpreter is None else None
    command = (interpreter or sys.executable, "-m", "benchmarks.engine.contestants.jax_scan")
    return [Entry(f"jax G={size}", (*command, "--replicates", str(size)), absent=absent) for size in sizes]


def packs(sizes: Sequence[int]) -> list[Entry]:
    """Return HFTA-like packs."""
    return [Entry(f"hfta-like G={size}", module("pack", "--replicates", str(size))) for size in sizes]


def our_packs(sizes: Sequence[int], variants: Sequence[str]) -> list[Entry]:
    """Return the project's packs: arithmetic of its own, the library's batched products, or branches of a graph."""
    return [
        Entry(
            f"ours pack {variant} G={size}",
            module("project_pack", "--replicates", str(size), "--variant", variant),
            updates_survivors=variant == "own",
        )
        for variant in variants
        for size in sizes
    ]


def reference() -> Entry:
    """Return the project's reference, which every experiment's gate needs."""
    return Entry(REFERENCE, module("project", "--engine", "reference"))


def lenet_on_a_cpu(checkout: Path | None, interpreter: str | None, work: Path, folder: Path) -> list[Entry]:
    """Return the contestants of LeNet on one core."""
    sizes = (1, 4, 8)
    return [
        *open_lth(checkout, work, folder),
        reference(),
        Entry("autograd", module("autograd")),
        *packs(sizes),
        *jax(interpreter, sizes),
        Entry("ours", module("project", "--engine", "cpu"), dense=False),
        Entry("ours dense tiles", module("project", "--engine", "cpu", "--kernel", "dense")),
        Entry("ours survivors only", module("project", "--engine", "cpu", "--kernel", "sparse"), dense=False),
    ]


def conv_on_a_cpu(interpreter: str | None, work: Path, folder: Path) -> list[Entry]:
    """Return the contestants of Conv-2 on one core; they need neither folder."""
    del work, folder
    return [
        reference(),
        Entry("autograd", module("autograd")),
        Entry("autograd channels_last", module("autograd", "--layout", "channels_last")),
        Entry("autograd compiled", module("autograd", "--mode", "compile")),
        *jax(interpreter, (1,)),
        Entry("ours", module("project", "--engine", "conv"), dense=False),
    ]


def lenet_on_a_gpu(
    checkout: Path | None, interpreter: str | None, sizes: Sequence[int], work: Path, folder: Path
) -> list[Entry]:
    """Return the contestants of LeNet on a GPU."""
    return [
        *open_lth(checkout, work, folder, (0, 4)),
        reference(),
        Entry("autograd", module("autograd")),
        Entry("autograd graph", module("autograd", "--mode", "graph")),
        *packs(sizes),
        *jax(interpreter, sizes),
        *our_packs(sizes, ("own", "bmm")),
    ]


def network_on_a_gpu(
    interpreter: str | None, sizes: Sequence[int], variants: Sequence[str], work: Path, folder: Path
) -> list[Entry]:
    """Return the contestants of a convolutional network on a GPU; they need neither folder."""
    del work, folder
    return [
        reference(),
        Entry("autograd", module("autograd")),
        Entry("autograd channels_last", module("autograd", "--layout", "channels_last")),
        Entry("autograd graph", module("autograd", "--mode", "graph")),
        *packs(sizes),
        *jax(interpreter, sizes),
        *our_packs(sizes, variants),
    ]
