"""The figures of given weights, evaluated by the engine that trained them: its own arithmetic, to the bit."""

from __future__ import annotations

from lth_core.data import TensorData, split
from lth_core.engines.base import Plan
from lth_core.engines.choice import EngineKind
from lth_core.engines.conv.network import ConvNetwork
from lth_core.engines.conv.training import JudgedConvNetwork
from lth_core.engines.cpu.network import CpuNetwork
from lth_core.evaluation import Score
from lth_core.expansion import LineageSpec
from lth_core.masks import Mask
from lth_core.measuring import Judged, Part
from lth_core.models import FlatNetwork
from lth_core.training import JudgedNetwork
from lth_core.weights import Weights


def score_weights(
    lineage: LineageSpec, weights: Weights, mask: Mask | None, data: TensorData, part: Part, engine: EngineKind
) -> Score:
    """Evaluate a network on the validation or the test set of its replicate.

    Args:
        lineage: Network, recipe and replicate.
        weights: All tensors, pruned ones as they are to be used.
        mask: What is kept; engines may leave out of the sums what is not.
        data: The data set, on the device that evaluates.
        part: Which of its sets.
        engine: Whose arithmetic.
    """
    parts = split(data.info.num_train, lineage.replicate)
    judged: Judged
    if engine == "cpu":
        judged = CpuNetwork(Plan(lineage, weights, mask), data, parts)
    elif engine == "conv":
        conv = ConvNetwork(lineage, mask)
        conv.load(weights)
        judged = JudgedConvNetwork(conv, data, parts)
    else:
        net = FlatNetwork(lineage.model, lineage.in_shape, lineage.num_classes, data.device)
        net.load(weights)
        judged = JudgedNetwork(net, data, parts.validation)
    return judged.score(part, lambda: None)
