"""What the convolutional engine says it trains, and that it says so without torch."""

from __future__ import annotations

import subprocess
import sys

import pytest

from lth_core.engines.conv.support import supports
from lth_core.model_spec import ModelSpec
from lth_core.parts import Train


@pytest.mark.parametrize("name", ["conv_2", "conv_4", "conv_6"])
def test_the_papers_convolutional_networks_are_trained_with_any_recipe(name: str):
    model = ModelSpec(name=name, dropout=0.5)
    assert supports(model, Train(flip=True, crop_padding=4, label_smoothing=0.1, weight_decay=0.01), "cpu")
    assert supports(model, Train(optimizer="sgd", momentum=0.9, weight_decay_mode="decoupled"), "cpu")


def test_what_only_the_reference_does_is_refused():
    model, train = ModelSpec(name="conv_2"), Train()
    assert supports(model, train, "cpu")
    assert not supports(model, train, "cuda")
    assert not supports(model, train, "cpu", held=True)
    assert not supports(model, train, "cpu", tightens=True)
    assert not supports(model, Train(precision="bfloat16"), "cpu")


@pytest.mark.parametrize("name", ["lenet_300_100", "resnet_20", "vgg_19", "resnet_18"])
def test_networks_without_convolutions_or_with_normalisation_are_refused(name: str):
    assert not supports(ModelSpec(name=name), Train(), "cpu")


def test_asking_does_not_load_torch():
    code = "import sys, lth_core.engines.conv.support; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
