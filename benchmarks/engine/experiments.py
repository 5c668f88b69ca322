"""The experiments: what is prepared, who takes part, how long it is measured; each is written as soon as it is done."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.engine import lineup, record
from benchmarks.engine.children import Entry, start_all
from benchmarks.engine.data import Arrays, made_up, read_mnist
from benchmarks.engine.harness import Sample, as_rows, judge_first_steps, measure
from benchmarks.engine.prepare import make_work
from benchmarks.engine.promises import check_all
from benchmarks.engine.roofline import Peaks, measure_peaks, uses_per_example
from benchmarks.engine.work import Work
from tests.support.pack_plans import KINDS

WHAT_IS_EVALUATED = {
    "ours": "validation (5,000) every 100 steps; test (10,000) at the start, at the early stop and at the end",
    "rivals": "the same: validation every 100 steps with a copy of the best weights, and three looks at the test set",
    "open_lth": "its own test callback (10,000) every 100 steps instead of every epoch; it has no validation set",
}
GPU_SIZES = {"lenet": (1, 4, 16, 64, 256), "lenet other packs": (2, 8, 32, 128)}
GPU_SIZES_CONV = (1, 2, 4, 8, 16)
PROMISES = "promises"
"""Name of the check that comes before a GPU's experiments; no contestants take part in it."""


@dataclass(frozen=True)
class Options:
    """What the command line decides.

    Attributes:
        open_lth: Checkout of open_lth, None leaves it out.
        jax: Interpreter that has jax, None leaves it out.
        root: Folder that holds MNIST in torchvision's layout.
        rounds: Rounds of every measurement.
        out: Folder of the results.
        device: cpu or cuda.
        smoke: Tiny sizes, to see that every piece runs; the figures mean nothing.
        only: Names of contestants; empty takes all. The reference always takes part.
        wanted: Names of experiments; empty takes all.
    """

    open_lth: Path | None = None
    jax: str | None = None
    root: Path | None = None
    rounds: int = 5
    out: Path = Path("benchmarks/results")
    device: str = "cpu"
    smoke: bool = False
    only: tuple[str, ...] = ()
    wanted: tuple[str, ...] = ()


@dataclass(frozen=True)
class Experiment:
    """One experiment.

    Attributes:
        name: What tables call it.
        preset: The recipe.
        line_up: Makes the contestants from the work folder and a folder for copies.
        levels: Levels measured.
        replicates: Largest pack.
        mask_steps: Steps of each level of the search that finds the masks.
        most_steps: Longest window.
        model: Another network than the preset's.
        train: Fields of the recipe to change.
        cadences: Without evaluation, with it, or both.
    """

    name: str
    preset: str
    line_up: Callable[[Path, Path], list[Entry]]
    levels: Sequence[int] = (0,)
    replicates: int = 1
    mask_steps: int = 1000
    most_steps: int = 1000
    model: dict[str, Any] | None = None
    train: dict[str, Any] = field(default_factory=dict)
    cadences: tuple[bool, ...] = (False, True)


def tell(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)


class Session:
    """One run: its result file, which is written anew after every round."""

    def __init__(self, name: str, options: Options, say: Callable[[str], None] = tell) -> None:
        self.options, self._say = options, say
        self.path = record.new_path(options.out, name)
        self.document: dict[str, Any] = {
            "name": name,
            "claim": "Engines and rivals on the same work, round robin; figures are medians over rounds, with ranges.",
            **record.environment(options.device),
            "smoke": options.smoke,
            "rounds": options.rounds,
            "clock": "CPU seconds" if options.device == "cpu" else "wall seconds",
            "evaluation": WHAT_IS_EVALUATED,
            "experiments": [],
        }
        self._peaks: Peaks | None = None
        self._save()

    def run(self, experiment: Experiment) -> None:
        """Prepare, judge and measure one experiment."""
        if self.options.wanted and experiment.name not in self.options.wanted:
            return
        with tempfile.TemporaryDirectory() as folder:
            self._run(experiment, Path(folder))

    def check_promises(self) -> None:
        """Note whether packs keep their promise on this device."""
        if self.options.wanted and PROMISES not in self.options.wanted:
            return
        kinds = ("dense adam",) if self.options.smoke else tuple(KINDS)
        self.document["promises"] = check_all(self.options.device, self._say, kinds)
        self._save()

    def _run(self, experiment: Experiment, folder: Path) -> None:
        options, smoke = self.options, self.options.smoke
        self._say(f"prepare {experiment.name}")
        if self._peaks is None:
            small = {"size": 64, "num_bytes": 1 << 16, "repeats": 2} if smoke else {}
            self._peaks = measure_peaks(options.device, **small)
        work = self._prepare(experiment, folder / "work")
        entries = experiment.line_up(work.folder, folder)
        only = (*options.only, lineup.REFERENCE) if options.only else ()
        running, absent = start_all(entries, work.folder, folder / "logs", only=only)
        for name, reason in absent.items():
            self._say(f"absent  {name}: {reason}")
        page: dict[str, Any] = {
            "name": experiment.name,
            "clock": "cpu" if options.device == "cpu" else "wall",
            "levels": list(experiment.levels),
            "steps_per_level": work.terms.train["steps"],
            "train": work.terms.train,
            "model": work.terms.model,
            "data": {key: value for key, value in work.terms.data.items() if key != "normalisation"},
            "kept": {level: work.kept(level) for level in experiment.levels},
            "density": {level: work.density(level) for level in experiment.levels},
            "contestants": {name: {**child.entry.traits, **child.facts} for name, child in running.items()},
            "absent": absent,
            "roofline": self._roofline(work),
            "gates": [],
            "samples": [],
        }
        self.document["experiments"].append(page)
        try:
            gate_levels = sorted({experiment.levels[i] for i in (0, len(experiment.levels) // 2, -1)})
            gates = judge_first_steps(
                running, lineup.REFERENCE, gate_levels, folder / "first", self._say, **({"steps": 5} if smoke else {})
            )
            page["gates"] = as_rows(gates)
            self._save()

            def after_round(samples: list[Sample], lost: dict[str, str]) -> None:
                page["samples"] = as_rows(samples)
                page["lost"] = lost
                self._save()

            measure(
                running,
                work,
                rounds=options.rounds,
                cadences=experiment.cadences,
                tests=True in experiment.cadences,
                most_steps=10 if smoke else experiment.most_steps,
                at_least_s=0.0 if smoke else 0.25,
                warmup=2 if smoke else min(20, experiment.most_steps),
                after_round=after_round,
                say=self._say,
            )
        finally:
            for child in running.values():
                child.close()
            self._save()

    def _prepare(self, experiment: Experiment, folder: Path) -> Work:
        smoke = self.options.smoke
        arrays, source = self._data(experiment)
        train = {**experiment.train, **({"batch_size": 12, "eval_every": 10} if smoke else {})}
        return make_work(
            folder,
            experiment.preset,
            arrays,
            source,
            levels=experiment.levels,
            mask_steps=3 if smoke else experiment.mask_steps,
            num_replicates=experiment.replicates,
            device=self.options.device,
            model=experiment.model,
            **train,
        )

    def _data(self, experiment: Experiment) -> tuple[Arrays, dict[str, Any]]:
        smoke = self.options.smoke
        if "mnist" in experiment.preset:
            found = read_mnist(self.options.root) if self.options.root and not smoke else None
            if found is not None:
                return found, {"name": "mnist", "synthetic": False}
            sizes = (600, 100) if smoke else (60_000, 10_000)
            return made_up((1, 28, 28), *sizes), {"name": "mnist-like", "synthetic": True}
        shape, sizes = ((3, 8, 8), (300, 50)) if smoke else ((3, 32, 32), (10_000, 2_000))
        return made_up(shape, *sizes), {"name": "cifar10-like", "synthetic": True}

    def _roofline(self, work: Work) -> dict[str, Any]:
        layers = work.terms.layers
        prunable = ("conv", "fc", "output")
        plain = all(kind in (*prunable, "bias") for _, _, kind in layers)
        size = 1
        for side in work.terms.in_shape:
            size *= side
        assert self._peaks is not None
        return {
            "peaks": asdict(self._peaks),
            "uses": uses_per_example(layers, work.terms.in_shape) if plain else {},
            "inputs": size,
            "batch_size": work.batch_size,
            "num_biases": sum(shape[0] for _, shape, kind in layers if kind == "bias"),
        }

    def _save(self) -> None:
        record.write(self.path, self.document)


def on_a_cpu(options: Options) -> Path:
    """Run the experiments on one core; return the result."""
    session = Session(_name("engine-cpu", options), options)
    for experiment in cpu_experiments(options):
        session.run(experiment)
    return session.path


def cpu_experiments(options: Options) -> list[Experiment]:
    """Return the experiments on one core: LeNet's lineage, and a step of Conv-2."""
    levels = (0, 1, 2) if options.smoke else tuple(range(21))
    return [
        Experiment(
            "lenet",
            "lenet-mnist",
            partial(lineup.lenet_on_a_cpu, options.open_lth, options.jax),
            levels=levels,
            replicates=8,
        ),
        Experiment(
            "conv-2 step",
            "conv2-cifar10",
            partial(lineup.conv_on_a_cpu, options.jax),
            levels=(0, 1) if options.smoke else (0, 7, 14),
            mask_steps=5,
            most_steps=4,
            cadences=(False,),
        ),
    ]


def _name(name: str, options: Options) -> str:
    """What a run is called: after the experiments that were picked, if any were."""
    return "-".join([name, *(wanted.replace(" ", "-") for wanted in options.wanted)])


def on_a_gpu(options: Options) -> Path:
    """Run the experiments on a GPU, the most telling ones first; return the result."""
    session = Session(_name("engine-gpu", options), options)
    session.check_promises()
    for experiment in gpu_experiments(options):
        session.run(experiment)
    return session.path


def gpu_experiments(options: Options) -> list[Experiment]:
    """Return the experiments on a GPU: LeNet with packs up to 256, Conv-2, -4, -6, and ResNet-20."""
    conv_sizes = (1, 2) if options.smoke else GPU_SIZES_CONV
    found = []
    for name, sizes in ({"lenet": (1, 2)} if options.smoke else GPU_SIZES).items():
        line_up = partial(lineup.lenet_on_a_gpu, options.open_lth, options.jax, sizes)
        levels = (0, 1) if options.smoke else (0, 1, 7, 14, 19)
        found.append(Experiment(name, "lenet-mnist", line_up, levels, max(sizes), most_steps=2000))
    for name, preset in (
        ("conv-2", "conv2-cifar10"),
        ("conv-4", "conv4-cifar10"),
        ("conv-6", "conv6-cifar10"),
        ("resnet-20", "resnet20-cifar10-low"),
    ):
        variants = ("branches",) if name == "resnet-20" else ("own", "branches")
        tiny = {"name": "resnet_20", "width": 2} if options.smoke and name == "resnet-20" else None
        found.append(
            Experiment(
                name,
                preset,
                partial(lineup.network_on_a_gpu, options.jax, conv_sizes, variants),
                levels=(0, 1) if options.smoke else (0, 7),
                replicates=max(conv_sizes),
                mask_steps=20,
                most_steps=500,
                model=tiny,
                train={"flip": False, "crop_padding": 0, "test_curve": False},
                cadences=(False,),
            )
        )
    return found
