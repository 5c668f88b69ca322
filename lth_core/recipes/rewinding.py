"""What survivors go back to, on ResNet-20 and VGG-16: weights of an early step, the learning rate only, or nothing."""

from __future__ import annotations

from lth_core.recipes.deep import deep
from lth_core.spec import Submission

CONTROLS = ["random_reinit", "shuffled_mask"]
TICKETS = ["reset"]
"""Beside weights that carry their training: the same masks with the weights of the initialisation."""


def resnet20_cifar10_rewind() -> Submission:
    """ResNet-20 at learning rate .1 rewound to steps 0, 500, 1,000 and 2,000: Frankle et al. 2020, arXiv:1912.05671."""
    steps = {"step": {"grid": [0, 500, 1000, 2000]}}
    return deep("resnet_20", "rewind", rewind=steps, treatments=CONTROLS)


def vgg16_cifar10_rewind() -> Submission:
    """VGG-16 at learning rate .1 rewound to steps 0, 500, 1,000 and 2,000: Frankle et al. 2020, arXiv:1912.05671."""
    steps = {"step": {"grid": [0, 500, 1000, 2000]}}
    return deep("vgg_16", "rewind", rewind=steps, treatments=CONTROLS)


def resnet20_cifar10_lr_rewind() -> Submission:
    """Learning-rate rewinding of ResNet-20 over its whole schedule: Renda et al. 2020, arXiv:2003.02389, section 4."""
    return deep("resnet_20", "lr-rewind", rewind={"mode": "lr"}, treatments=TICKETS)


def vgg16_cifar10_lr_rewind() -> Submission:
    """Learning-rate rewinding of VGG-16 over its whole schedule: Renda et al. 2020, arXiv:2003.02389, section 4."""
    return deep("vgg_16", "lr-rewind", rewind={"mode": "lr"}, treatments=TICKETS)


def resnet20_cifar10_fine_tune() -> Submission:
    """Fine-tuning of ResNet-20 at its last learning rate, as a baseline: Renda et al. 2020, arXiv:2003.02389."""
    return deep("resnet_20", "fine-tune", rewind={"mode": "fine_tune"}, treatments=TICKETS)


def vgg16_cifar10_fine_tune() -> Submission:
    """Fine-tuning of VGG-16 at its last learning rate, as a baseline: Renda et al. 2020, arXiv:2003.02389."""
    return deep("vgg_16", "fine-tune", rewind={"mode": "fine_tune"}, treatments=TICKETS)


def resnet20_cifar10_gradual() -> Submission:
    """Gradual magnitude pruning of ResNet-20 within one training: Zhu & Gupta 2017, arXiv:1710.01878."""
    prune = {"densities": [0.2, 0.1, 0.05], "levels": 3}
    return deep("resnet_20", "gradual", method="gradual", prune=prune, treatments=["reset", "random_reinit"])
