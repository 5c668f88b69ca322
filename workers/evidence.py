"""All that a verification looks at, read once from the record; what is damaged stays in it as such."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from lth_core.architecture import TensorSpec
from lth_core.expansion import WINNING_TICKET, LineageSpec, PlannedLineage
from lth_core.masks import Mask, unpack_mask
from lth_core.spec import SearchSpec
from lth_core.transfer import Ticket, read_ticket
from lth_core.weights import Array, Weights, content_digest, from_safetensors, weights_from_safetensors
from workers.report import Failed, Skipped

Manifest = dict[str, Any]
Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Blobs:
    """Stored bytes by digest, and why others could not be read."""

    contents: dict[str, bytes] = field(default_factory=dict)
    damage: dict[str, str] = field(default_factory=dict)

    def read(self, sha256: str) -> bytes:
        """Return a blob's verified bytes.

        Raises:
            Skipped: If it could not be read; the check of digests says why.
        """
        if sha256 not in self.contents:
            raise Skipped(f"blob {sha256[:12]} could not be read")
        return self.contents[sha256]


@dataclass(frozen=True)
class Judgement:
    """What a search said of the ticket's setting, and the levels from which it said so.

    Attributes:
        spec: The search.
        planned: The lineages of the ticket's setting.
        manifests: Their committed manifests, by key and level.
        levels: The levels of the search's results, of all settings.
        final: Whether all these lineages ended with their last level, so that nothing can have been added since.
    """

    spec: SearchSpec
    planned: tuple[PlannedLineage, ...]
    manifests: dict[str, dict[int, Manifest]]
    levels: list[dict[str, Any]]
    final: bool


@dataclass(frozen=True)
class Evidence:
    """A ticket with the two chains it stands on.

    Attributes:
        tenant: Whose ticket it is.
        lineage: The ticket's lineage, as its manifest says.
        key: Key under which the lineage lies.
        dense_key: Key of its level 0.
        source_key: Key of the chain that found the masks; the lineage's own unless it is a control.
        chain: Manifests of the lineage's levels 0..n, the ticket's last; level 0 is the dense network's, unless the
            lineage is a control with its own.
        source: Manifests of the chain that found the masks, levels 0..n.
        blobs: Every blob these manifests name.
        final: The ticket's weights at the end of training as stored, None where they were not kept.
        margin: Largest difference of accuracies that counts as none where environments differ.
        data: The data set's arrays, or the reason why there are none.
        judgement: What the search said of the ticket's setting, or the reason why there is nothing to compare.
    """

    tenant: str
    lineage: LineageSpec
    key: str
    dense_key: str
    source_key: str
    chain: tuple[Manifest, ...]
    source: tuple[Manifest, ...]
    blobs: Blobs
    final: bytes | None
    margin: float
    data: Arrays | str
    judgement: Judgement | str

    @property
    def tensors(self) -> tuple[TensorSpec, ...]:
        """The network's parameters."""
        return self.lineage.tensors()

    @property
    def is_control(self) -> bool:
        """Whether the lineage takes its masks from another one."""
        return self.lineage.treatment != WINNING_TICKET

    @property
    def plan(self) -> PlannedLineage:
        """The lineage as planned; its place in a search is of no interest here."""
        source = self.source_key if self.is_control else None
        return PlannedLineage(self.lineage, self.key, self.dense_key, 0, {}, source)

    @property
    def chain_plan(self) -> PlannedLineage:
        """The chain that found the masks, as planned."""
        found_by = self.lineage.model_copy(update={"treatment": WINNING_TICKET, "repeat": 0})
        return PlannedLineage(found_by, self.source_key, self.dense_key, 0, {}, None)

    @property
    def first_level(self) -> int:
        """The lowest level above the dense network that is the lineage's own."""
        return 0 if self.is_control and self.plan.first_level == 0 else 1

    @property
    def level(self) -> int:
        """The ticket's level."""
        return len(self.chain) - 1

    @property
    def ticket(self) -> Manifest:
        """The manifest of the ticket's level."""
        return self.chain[-1]

    def manifests(self) -> Iterator[tuple[str, Manifest]]:
        """Yield every manifest once, with the name a reader knows it by."""
        for level, manifest in enumerate(self.chain):
            yield f"level {level}", manifest
        if self.is_control:
            for level, manifest in enumerate(self.source):
                if level >= self.first_level:
                    yield f"level {level} of the ticket's chain", manifest

    def manifest_at(self, key: str, level: int) -> Manifest:
        """Return the manifest of a level of either chain, by the key under which it lies."""
        is_own = key == self.key and self.is_control
        return (self.chain if is_own else self.source)[level]

    def mask(self, manifest: Manifest) -> Mask:
        """Return the mask of a level, unpacked."""
        return unpack_mask(self.blobs.read(manifest["core"]["digests"]["mask"]), self.tensors)

    def stored_weights(self, manifest: Manifest, name: str) -> Weights:
        """Return the stored `rewind` or `final` weights of a level.

        Raises:
            Skipped: If they were not kept.
            Failed: If they are not those that the manifest's core names.
        """
        if name not in manifest["stored"]:
            raise Skipped(f"{name} weights were not kept")
        return self._weights(self.blobs.read(manifest["stored"][name]["sha256"]), manifest, name)

    def dense_rewind(self) -> Weights:
        """Return W_k of the dense network, which level 0 always keeps."""
        return self.stored_weights(self.source[0], "rewind")

    def optimizer_state(self) -> dict[str, Array] | None:
        """Return the optimizer's state of step k, None where it is not restored.

        Raises:
            Failed: If it is not the one that the dense level's core names.
        """
        if self.lineage.rewind.optimizer != "restore":
            return None
        dense = self.source[0]
        state = from_safetensors(self.blobs.read(dense["stored"]["optimizer"]["sha256"]))
        if content_digest(state) != dense["core"]["digests"]["optimizer"]:
            raise Failed("the optimizer's state of level 0 is not that of its core")
        return state

    def origin(self) -> Ticket | None:
        """Return the transferred ticket, None where there is none.

        Raises:
            Skipped: If it could not be read.
        """
        origin = self.lineage.origin
        if origin is None:
            return None
        return read_ticket(origin, *(self.blobs.read(sha256) for sha256 in (origin.mask_sha256, origin.rewind_sha256)))

    def final_weights(self) -> Weights:
        """Return the ticket's weights at the end of training.

        Raises:
            Skipped: If they were not kept.
            Failed: If they are not those that the manifest's core names.
        """
        if self.final is None:
            raise Skipped("the weights at the end of training were not kept (spec.keep: all keeps them)")
        return self._weights(self.final, self.ticket, "final")

    def _weights(self, content: bytes, manifest: Manifest, name: str) -> Weights:
        weights = weights_from_safetensors(content, self.tensors)
        if content_digest(weights) != manifest["core"]["digests"][name]:
            raise Failed(f"{name} weights of level {manifest['core']['level']} are not those of its core")
        return weights


def same_bits(left: npt.NDArray[np.float32], right: npt.NDArray[np.float32]) -> bool:
    """Tell whether two float32 arrays are equal bit for bit: -0.0 differs from +0.0."""
    return left.shape == right.shape and bool(np.array_equal(_bits(left), _bits(right)))


def _bits(array: npt.NDArray[np.float32]) -> npt.NDArray[np.uint32]:
    return np.ascontiguousarray(array, np.float32).view(np.uint32)
