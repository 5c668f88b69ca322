"""Examples to judge by, transposed once into tiles of 64 columns."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lth_core.native.checks import check_array
from lth_core.native.compiled import load
from lth_core.native.layers import TILE_COLS
from lth_core.native.structs import address, round_up, zeros

WIDTH = 64


class EvalTiles:
    """Examples as [ceil(num / 64), features, 64], so that judging costs what the survivors cost.

    Args:
        images: Examples, float32 [num, features].
        labels: Classes, int32 [num].

    Raises:
        ValueError: If an array has another type or shape, or a label is negative.
        NativeUnavailableError: If the kernels cannot be used here.
    """

    def __init__(self, images: npt.NDArray[np.float32], labels: npt.NDArray[np.int32]) -> None:
        check_array("images", images, np.float32, (None, None))
        self.num, self.features = images.shape
        check_array("labels", labels, np.int32, (self.num,))
        if self.num and int(labels.min()) < 0:
            raise ValueError(f"labels must be >= 0, got {int(labels.min())}")
        self.labels = labels.copy()
        self.largest_label = int(labels.max(initial=0))
        self.tiles = zeros(round_up(self.num, WIDTH) * round_up(self.features, TILE_COLS))
        blank = zeros(self.features)
        load().lth_tiles(address(images), address(blank), self.num, self.features, address(self.tiles))
