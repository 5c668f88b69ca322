"""Residual networks as modules: the family for small images, ResNet-18 and ResNet-50."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name the field uses

from lth_core.architectures.residual import Block, Conv, ResidualPlan


class ResidualBlock(nn.Module):
    """Convolutions with batch normalisation and ReLU, their input added before the last ReLU.

    References:
        He et al. 2016, arXiv:1512.03385, figures 2 and 5.
    """

    def __init__(self, block: Block) -> None:
        super().__init__()
        layers: list[tuple[nn.Module, nn.Module]] = []
        for conv in block.convs:
            layers.append((_conv(conv), nn.BatchNorm2d(conv.outputs)))
            self.add_module(conv.name, layers[-1][0])
            self.add_module(conv.norm, layers[-1][1])
        self._layers = tuple(layers)  # a tuple: no second name in the state_dict
        self.downsample: nn.Module | None = None
        if block.shortcut is not None:
            self.downsample = nn.Sequential(_conv(block.shortcut), nn.BatchNorm2d(block.shortcut.outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Return the output of the block, [N, C', H', W'] of [N, C, H, W]."""
        y = x
        for i, (conv, norm) in enumerate(self._layers, start=1):
            y = norm(conv(y))
            if i < len(self._layers):
                y = F.relu(y)
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResidualNetwork(nn.Module):
    """Stem, blocks, the mean over positions, and one output layer.

    Args:
        plan: Its layers.
        num_classes: Size of the output layer.
    """

    def __init__(self, plan: ResidualPlan, num_classes: int) -> None:
        super().__init__()
        self.conv1 = _conv(plan.stem)
        self.bn1 = nn.BatchNorm2d(plan.stem.outputs)
        stages: dict[str, list[nn.Module]] = {}
        for block in plan.blocks:
            stages.setdefault(block.name.split(".")[0], []).append(ResidualBlock(block))
        for name, blocks in stages.items():
            self.add_module(name, nn.Sequential(*blocks))
        self._stages = tuple(stages)
        self._max_pool = plan.max_pool
        self.fc = nn.Linear(plan.blocks[-1].convs[-1].outputs, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits [N, num_classes] of examples [N, C, H, W]."""
        x = F.relu(self.bn1(self.conv1(x)))
        if self._max_pool:
            x = F.max_pool2d(x, 3, stride=2, padding=1)
        for name in self._stages:
            x = self.get_submodule(name)(x)
        logits: Tensor = self.fc(x.mean((2, 3)))
        return logits


def _conv(conv: Conv) -> nn.Module:
    padding = conv.kernel // 2
    return nn.Conv2d(conv.inputs, conv.outputs, conv.kernel, stride=conv.stride, padding=padding, bias=False)
