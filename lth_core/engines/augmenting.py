"""What a plan does to the training images of its data set."""

from __future__ import annotations

from lth_core import random
from lth_core.augmentation import Augmentation
from lth_core.data import TensorData
from lth_core.engines.base import Plan


def augmentation_of(plan: Plan, data: TensorData) -> Augmentation | None:
    """Return a plan's augmentation; None where it leaves the images as they are."""
    recipe = plan.lineage.train
    if not recipe.flip and not recipe.crop_padding:
        return None
    key = random.seed_key(plan.lineage.replicate, plan.streams.augment)
    return Augmentation(recipe.flip, recipe.crop_padding, key, data.normalisation.fill)
