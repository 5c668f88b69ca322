"""VGG networks with batch normalisation for small images as modules."""

from __future__ import annotations

from torch import Tensor, nn

from lth_core.architectures.vgg import places


class VggNetwork(nn.Module):
    """3x3 convolutions with batch normalisation and ReLU in groups, 2x2 max-pools between them, a mean, one layer.

    Args:
        groups: Output channels of the convolutions, as in `lth_core.architectures.vgg`.
        channels: Channels of an example.
        num_classes: Size of the output layer.

    References:
        Simonyan & Zisserman 2015, arXiv:1409.1556; Frankle & Carbin 2019, arXiv:1803.03635, section 4.
    """

    def __init__(self, groups: tuple[tuple[int, ...], ...], channels: int, num_classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential()
        for place, inputs, outputs in places(groups, channels):
            if place > len(self.features):
                self.features.append(nn.MaxPool2d(2))
            self.features.append(nn.Conv2d(inputs, outputs, 3, padding=1))
            self.features.append(nn.BatchNorm2d(outputs))
            self.features.append(nn.ReLU())
        self.fc = nn.Linear(groups[-1][-1], num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits [N, num_classes] of examples [N, C, H, W]."""
        logits: Tensor = self.fc(self.features(x).mean((2, 3)))
        return logits
