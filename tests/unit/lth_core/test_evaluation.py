"""Evaluation weighs every example the same."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - the name the field uses

from lth_core import evaluation
from lth_core.evaluation import evaluate


class Echo(nn.Module):
    """Gives its input back as logits."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def test_a_short_last_batch_does_not_weigh_more(monkeypatch):
    logits = torch.linspace(-3, 3, 7 * 4).view(7, 4)
    labels = torch.tensor([0, 1, 2, 3, 0, 1, 2])
    expected = F.cross_entropy(logits, labels).item()
    for size in (2, 3, 500):
        monkeypatch.setattr(evaluation, "EVAL_BATCH_SIZE", size)
        score = evaluate(Echo(), logits, labels)
        assert score.loss == pytest.approx(expected, rel=1e-6)
        assert score.accuracy == 1 / 7


def test_every_batch_is_a_sign_of_life(monkeypatch):
    monkeypatch.setattr(evaluation, "EVAL_BATCH_SIZE", 3)
    beats = []
    evaluate(Echo(), torch.zeros(7, 4), torch.zeros(7, dtype=torch.int64), beat=lambda: beats.append(1))
    assert len(beats) == 3


def test_evaluating_records_no_gradients():
    weights = torch.ones(4, requires_grad=True)
    module = nn.Linear(4, 4)
    evaluate(module, torch.ones(2, 4), torch.zeros(2, dtype=torch.int64))
    assert module.weight.grad is None
    assert weights.grad is None


class Probe(nn.Module):
    """Batch norm and dropout before a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.drop, self.out = nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.drop(self.norm(x)))


@pytest.mark.parametrize("training", [True, False])
def test_evaluating_leaves_running_statistics_and_mode_alone_and_drops_nothing(training):
    module = Probe().train(training)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    x, labels = torch.randn(20, 4) * 3 + 1, torch.arange(20) % 3
    first, second = (evaluate(module, x, labels).loss for _ in range(2))
    with torch.no_grad():
        normed = x / (1 + module.norm.eps) ** 0.5  # by its running statistics, mean 0 and variance 1
        expected = F.cross_entropy(module.out(normed), labels).item()
    assert first == second == pytest.approx(expected, rel=1e-5)
    assert all(part.training is training for part in module.modules())
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_an_evaluation_that_is_stopped_returns_to_the_mode_it_found():
    module = Probe()

    def stop() -> None:
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        evaluate(module, torch.randn(4, 4), torch.zeros(4, dtype=torch.int64), beat=stop)
    assert module.training
    assert module.norm.training
