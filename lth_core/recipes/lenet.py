"""LeNet-300-100: the demo on digits, and the paper's recipe on MNIST."""

from __future__ import annotations

from typing import Any

from lth_core.model_spec import ModelSpec
from lth_core.parts import DatasetSpec, Prune, Rule, Train
from lth_core.spec import SearchSpec, Submission
from lth_core.treatments import Treatment


def lenet_digits() -> Submission:
    """The demo: LeNet-300-100 on scikit-learn's 1,797 digits, small enough for a laptop's minute.

    The test set has 360 images, so the margin of the verdicts is 1 percentage point.
    """
    spec = SearchSpec(
        model=ModelSpec(name="lenet_300_100"),
        dataset=DatasetSpec(name="digits"),
        train=Train(steps=400, eval_every=20),
        prune=Prune(levels=8),
        replicates=(0, 1, 2),
        treatments=(Treatment(name="random_reinit"), Treatment(name="shuffled_mask")),
        rule=Rule(margin=0.01),
    )
    return Submission(name="lenet-digits", spec=spec)


def lenet_mnist() -> Submission:
    """LeNet-300-100 on MNIST as in Frankle & Carbin 2019, figure 2 and section 2.

    The paper does not say how pictures are normalised; `unit_range` gives its figure (docs/reproductions.md).
    """
    return lenet_variant("lenet-mnist", replicates=[0, 1, 2, 3, 4])


def lenet_variant(name: str, **changes: Any) -> Submission:
    """Return the recipe of LeNet on MNIST with fields changed.

    Args:
        name: Name of the submission.
        changes: JSON of the fields of a specification; those of `train` and `prune` are merged into the recipe's.
    """
    train = {"optimizer": "adam", "lr": 0.0012, "batch_size": 60, "steps": 50_000, "eval_every": 100}
    prune = {"fraction": 0.2, "output_fraction": 0.1, "levels": 20}
    body = {
        "model": {"name": "lenet_300_100"},
        "dataset": {"name": "mnist", "normalisation": "unit_range"},
        **changes,
        "train": {**train, **changes.get("train", {})},
        "prune": {**prune, **changes.get("prune", {})},
    }
    return Submission(name=name, spec=SearchSpec.model_validate(body))
