"""Whether a transferred ticket fits the network and the data that it is transferred to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lth_core.architecture import TensorSpec, architecture
from lth_core.cells import SpecError
from lth_core.model_spec import ModelSpec
from lth_core.treatments import Origin

if TYPE_CHECKING:
    from lth_core.expansion import DatasetInfo


def origin_tensors(origin: Origin) -> tuple[TensorSpec, ...]:
    """Return the tensors of the network that a ticket was found in."""
    return architecture(origin.model, origin.in_shape, origin.num_classes)


def check_transfer(model: ModelSpec, tensors: Sequence[TensorSpec], dataset: DatasetInfo, origin: Origin) -> None:
    """Refuse a ticket that does not fit the search's network: only the output layer may differ.

    Raises:
        SpecError: Saying to what the ticket can be transferred.
    """
    if _without_sizes(model) != _without_sizes(origin.model):
        raise SpecError("/model", f"must be the ticket's, {origin.model.canonical()}, got {model.canonical()}")
    if tuple(origin.in_shape) != tuple(dataset.shape):
        raise SpecError(
            "/dataset",
            f"the ticket was found on examples of shape {list(origin.in_shape)}, {dataset.name} has "
            f"{list(dataset.shape)}: choose a data set of the ticket's shape, with any number of classes",
        )
    shapes = {tensor.name: tensor.shape for tensor in origin_tensors(origin)}
    output = {tensor.name.rpartition(".")[0] for tensor in tensors if tensor.kind == "output"}
    for tensor in tensors:
        may_differ = tensor.name.rpartition(".")[0] in output and origin.num_classes != dataset.num_classes
        if shapes.get(tensor.name) != tensor.shape and not may_differ:
            detail = f"{tensor.name} must have the ticket's shape {shapes.get(tensor.name)}, got {tensor.shape}"
            raise SpecError("/model", f"{detail}; only the output layer may differ")


def _without_sizes(model: ModelSpec) -> dict[str, object]:
    """Return a model without its layer sizes, whose last one is the number of classes; tensors are compared anyway."""
    return {name: value for name, value in model.canonical().items() if name != "sizes"}
