"""Claim: at a learning rate too high for tickets from step 0, none is certified; with warm-up or rewinding it is.

A ResNet-20 of width 4 learns shifted digits by SGD with momentum at rate 0.1, eight replicates, two prunings. The same
search is run three times: rewound to step 0, rewound to step 30 of 300, and from step 0 with linear warm-up. The first
must not be certified at any of its densities, 0.257 and 0.071, and the other two must be at one of them, by the same
rule with a margin of 0.01 (the test set has 1,440 images). At 0.071 those two pass by 0.001 to 0.002 only, which other
bits may undo. The same contrast at full size: Frankle & Carbin 2019, arXiv:1803.03635, section 4 (warm-up), and Frankle
et al. 2020, arXiv:1912.05671 (rewinding).

Runs in this process, without a service; some minutes on one core.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.result import write_result
from lth_core.data import ARRAY_NAMES, load
from lth_core.expansion import DatasetInfo
from lth_core.local_search import LocalSearch
from lth_core.run import describe
from lth_core.spec import Submission

SPEC: dict[str, Any] = {
    "model": {"name": "resnet_20", "width": 4},
    "dataset": {"name": "shifted-digits"},
    "train": {
        "optimizer": "sgd",
        "momentum": 0.9,
        "lr": 0.1,
        "weight_decay": 0.0001,
        "batch_size": 32,
        "steps": 300,
        "eval_every": 150,
        "milestones": [200, 250],
    },
    "prune": {"scope": "global", "fraction": 0.75, "output_fraction": 0.0, "levels": 2},
    "replicates": 8,
    "treatments": [],
    "rule": {"margin": 0.01},
}
VARIANTS: dict[str, dict[str, dict[str, Any]]] = {
    "from step 0": {},
    "rewound to step 30": {"rewind": {"step": 30}},
    "with warm-up": {"train": {"warmup_steps": 150}},
}
REFUSED = "from step 0"
NUM_SHIFTS = 4
SIDE = 10


def shifted_digits() -> dict[str, npt.NDArray[np.generic]]:
    """Return scikit-learn's digits, each at 4 of the 9 places on a canvas of 10x10; every fifth is for the test."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    parts: dict[bool, tuple[list[npt.NDArray[np.uint8]], list[int]]] = {False: ([], []), True: ([], [])}
    for i, (picture, label) in enumerate(zip(bunch.images.astype(np.uint8) * 15, bunch.target, strict=True)):
        images, labels = parts[i % 5 == 0]
        for k in range(NUM_SHIFTS):
            top, left = divmod((7 * i + 5 * k) % 9, 3)
            canvas = np.zeros((1, SIDE, SIDE), dtype=np.uint8)
            canvas[0, top : top + 8, left : left + 8] = picture
            images.append(canvas)
            labels.append(int(label))
    arrays = [np.array(values) for is_test in (False, True) for values in parts[is_test]]
    return dict(zip(ARRAY_NAMES, arrays, strict=True))


def run(changes: dict[str, dict[str, Any]], info: DatasetInfo, arrays: dict[str, Any]) -> dict[str, Any]:
    """Run one variant and return what it judged."""
    spec = {**SPEC, **{part: {**SPEC.get(part, {}), **change} for part, change in changes.items()}}
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        search = LocalSearch(Submission.model_validate({"spec": spec}), info, load(info, arrays), Path(folder))
        for _ in search.run():
            pass
        results = search.results()
    assert not search.diverged
    levels = [
        {
            "level": level["level"],
            "density": level["density"],
            "label": level.get("label"),
            "end_test_accuracy": next(iter(level["treatments"].values()))["end_test_accuracy"],
            "verdicts": level["verdicts"],
            "accuracy_difference": level.get("paired", {}).get("dense", {}).get("accuracy_difference"),
        }
        for level in results["levels"]
    ]
    return {"wall_s": round(time.monotonic() - begin, 1), "spec": spec, "levels": levels, "claim": results["claim"]}


def certified_densities(variant: dict[str, Any]) -> list[float]:
    """Return the densities at which a variant's tickets are certified."""
    return [level["density"] for level in variant["levels"] if level["verdicts"].get("certified") == "yes"]


def main() -> None:
    """Run all variants and keep the result; exits 1 if the claim does not hold."""
    arrays = shifted_digits()
    info = describe(SPEC["dataset"]["name"], arrays)
    found = {}
    for name, changes in VARIANTS.items():
        found[name] = run(changes, info, arrays)
        for level in found[name]["levels"]:
            mean = level["end_test_accuracy"]["mean"]
            print(f"{name:20} density {level['density']:.3f} accuracy {mean:.4f}", level["verdicts"].get("certified"))
    certified = {name: certified_densities(variant) for name, variant in found.items()}
    holds = all(bool(densities) == (name != REFUSED) for name, densities in certified.items())
    numbers = {"holds": holds, "certified_densities": certified, "variants": found}
    print(write_result("lr-too-high", __doc__.splitlines()[0], numbers))
    if not holds:
        sys.exit(f"the claim does not hold: {certified}")


if __name__ == "__main__":
    main()
