"""Building modules without drawing a number: parameters have shapes only, and then become zeros."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

_FACTORIES = (torch.empty, torch.zeros, torch.ones)
"""What layers make their parameters and running statistics with."""


class WithoutValues(TorchFunctionMode):
    """While active, parameters are made without memory, and drawing into them leaves torch's generator alone.

    Tables that layers compute for themselves, such as the positions in an attention window, keep their values: unlike
    under `torch.device("meta")`, only empty, zeros and ones are changed.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call a torch function, with the device changed where it makes parameters."""
        del types
        place = {"device": "meta"} if func in _FACTORIES else {}
        return func(*args, **{**(kwargs or {}), **place})


def fill_with_zeros(module: nn.Module) -> None:
    """Replace every parameter and buffer that has no memory by zeros, in place."""
    for part in module.modules():
        for name, parameter in part.named_parameters(recurse=False):
            if parameter.is_meta:
                setattr(part, name, nn.Parameter(torch.zeros(parameter.shape, dtype=parameter.dtype)))
        for name, buffer in part.named_buffers(recurse=False):
            if buffer.is_meta:
                setattr(part, name, torch.zeros(buffer.shape, dtype=buffer.dtype))
