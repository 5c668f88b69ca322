"""How many engines of each device class there may be: an operator's wish, kept as numbered records in the store."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, get_args

from lth_core.canonical import FORMAT, canonical_json
from service.store import clock, keys
from service.store.core import Core
from service.store.errors import ObjectNotFound, StoreUnavailable, UnknownFormat

DeviceClass = Literal["cpu", "cuda"]
DEVICE_CLASSES: tuple[DeviceClass, ...] = get_args(DeviceClass)
MAX_LOST_RACES = 100


@dataclass(frozen=True)
class Bounds:
    """How many engines of one device class there may be.

    Attributes:
        min: So many are kept, also without work.
        max: Never more, even if the cluster could; None for no such bound.
    """

    min: int = 0
    max: int | None = None


BoundsByDevice = Mapping[DeviceClass, Bounds]


@dataclass(frozen=True)
class Scale:
    """The bounds that stand.

    Attributes:
        revision: Number of the record that set them, 0 while nobody has set any.
        changed_at: When that was.
        bounds: By device class; a class that is missing has the default bounds.
    """

    revision: int = 0
    changed_at: str | None = None
    bounds: BoundsByDevice = field(default_factory=dict)

    def of(self, device: DeviceClass) -> Bounds:
        """Bounds of a device class."""
        return self.bounds.get(device, Bounds())

    def changed(self, wishes: BoundsByDevice) -> Scale:
        """These bounds with those of some device classes replaced."""
        return replace(self, bounds={device: wishes.get(device, self.of(device)) for device in DEVICE_CLASSES})

    def says_the_same_as(self, other: Scale) -> bool:
        """Tell whether both bound every device class alike."""
        return all(self.of(device) == other.of(device) for device in DEVICE_CLASSES)

    def document(self) -> dict[str, Any]:
        """The bounds as an operator sees them."""
        shown: dict[str, Any] = {device: asdict(self.of(device)) for device in DEVICE_CLASSES}
        return {"object": "scale", "revision": self.revision, "changed_at": self.changed_at, **shown}

    def to_bytes(self) -> bytes:
        """Encode them as the object that is stored."""
        bounds = {device: asdict(self.of(device)) for device in DEVICE_CLASSES}
        return canonical_json({"format": FORMAT, "n": self.revision, "at": self.changed_at, "bounds": bounds})

    @classmethod
    def from_bytes(cls, raw: bytes) -> Scale:
        """Decode a stored record.

        Raises:
            UnknownFormat: If a later version wrote it.
        """
        document = json.loads(raw)
        if document.get("format") != FORMAT:
            raise UnknownFormat(f"bounds have format {document.get('format')!r}, known is {FORMAT}")
        bounds = {device: Bounds(**own) for device, own in document["bounds"].items()}
        return cls(document["n"], document["at"], bounds)


class Scaling(Core):
    """The part of the record that bounds the engines.

    As in a search's log, the put-if-absent of the next number is the compare-and-set: of two operators at once one
    decides anew on what the other has written. The last record counts. An operator is no leader and writes no epoch.
    """

    _scale: Scale = Scale()

    async def scale(self) -> Scale:
        """Return the bounds that stand; once they are known, asking again costs one look for a later record.

        Raises:
            StoreUnavailable: If the store does not answer.
        """
        if not self._scale.revision:
            numbers = [keys.number_of(name) for name in await self.objects.list("scale/")]
            last = max((number for number in numbers if number is not None), default=0)
            if last:
                self._scale = Scale.from_bytes(await self.objects.get(keys.scale_record(last)))
        while True:
            try:
                raw = await self.objects.get(keys.scale_record(self._scale.revision + 1))
            except ObjectNotFound:
                return self._scale
            self._scale = Scale.from_bytes(raw)

    async def set_scale(self, wishes: BoundsByDevice) -> Scale:
        """Bound some device classes and leave the others as they are; return the bounds that stand then.

        Raises:
            StoreUnavailable: If it is unknown whether they were stored.
        """
        return await self._decide(lambda standing: standing.changed(wishes))

    async def reset_scale(self) -> Scale:
        """Bound no device class any more; return the bounds that stand then.

        Raises:
            StoreUnavailable: If it is unknown whether that was stored.
        """
        return await self._decide(lambda _: Scale())

    async def _decide(self, decide: Callable[[Scale], Scale]) -> Scale:
        for _ in range(MAX_LOST_RACES):
            standing = await self.scale()
            wanted = decide(standing)
            if wanted.says_the_same_as(standing):
                return standing
            number = standing.revision + 1
            draft = replace(wanted, revision=number, changed_at=clock.to_text(clock.now()))
            _, ours = await self.objects.put_if_absent(keys.scale_record(number), draft.to_bytes())
            if ours:
                self._scale = draft
                return draft
        raise StoreUnavailable(f"lost {MAX_LOST_RACES} races for the next record of the bounds")
