"""Data sets and API keys: registered once, found everywhere, never trusted unverified."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import numpy as np
import pytest

from lth_core.weights import to_safetensors
from service.store import clock, keys
from service.store.errors import ArtefactCorrupt, NotFound, RedisUnavailable, UnknownDataset
from service.store.record import Record
from tests.support.records import OpenRecord, register_tiny, tiny_arrays, tiny_info

pytestmark = pytest.mark.anyio


async def test_registered_arrays_come_back_bit_for_bit(open_record: OpenRecord) -> None:
    async with open_record() as record, open_record() as other:
        info = await register_tiny(record)
        arrays = await other.dataset_arrays(info.name, info.digest)
        assert sorted(arrays) == sorted(tiny_arrays())
        assert all(np.array_equal(arrays[name], own) for name, own in tiny_arrays().items())
        shown = await other.dataset("tiny")
        assert (shown["digest"], shown["num_train"], shown["classes"]) == (info.digest, 60, ["a", "b"])


async def test_registering_again_changes_nothing_and_new_content_becomes_current(open_record: OpenRecord) -> None:
    async with open_record() as record:
        first = await register_tiny(record)
        files = {"arrays.safetensors": to_safetensors(tiny_arrays())}
        assert not (await record.register_dataset(first, files))["created"]
        await asyncio.sleep(0.01)
        second = await register_tiny(record, seed=1)
        assert (await record.dataset("tiny"))["digest"] == second.digest != first.digest
        assert len(await record.datasets()) == 1
        assert (await record.dataset_arrays("tiny", first.digest))["test_labels"].shape == (20,)


async def test_arrays_under_a_wrong_digest_are_refused(record: Record) -> None:
    files = {"arrays.safetensors": to_safetensors(tiny_arrays(7))}
    with pytest.raises(ValueError, match="digest must be"):
        await record.register_dataset(tiny_info(tiny_arrays(8)), files)
    with pytest.raises(ValueError, match="must hold"):
        await record.register_dataset(tiny_info(tiny_arrays(8)), {})


async def test_arrays_that_changed_at_rest_are_never_served(record: Record) -> None:
    info = await register_tiny(record)
    key = keys.dataset_file(info.name, info.digest, "arrays.safetensors")
    await record.objects.delete(key)
    await record.objects.create(key, to_safetensors(tiny_arrays(1)))
    with pytest.raises(ArtefactCorrupt):
        await record.dataset_arrays(info.name, info.digest)


@pytest.mark.parametrize("name", ["none", "../x", "", "A"])
async def test_a_data_set_nobody_registered_is_unknown(record: Record, name: str) -> None:
    with pytest.raises(UnknownDataset):
        await record.dataset(name)


async def test_a_key_opens_the_door_and_its_secret_is_stored_nowhere(open_record: OpenRecord) -> None:
    async with open_record() as record, open_record() as other:
        document, text = await record.create_api_key("team", ("read", "write"), name="laptop")
        prefix, key_id, secret = text.split("_")
        assert (prefix, key_id) == ("lth", document["id"])
        found = await other.check_api_key(key_id, secret)
        assert found is not None
        assert (found.tenant, found.scopes) == ("team", ("read", "write"))
        assert await other.check_api_key(key_id, secret[:-1] + "!") is None
        assert await other.check_api_key("A" * 8, secret) is None
        assert await other.check_api_key("../..", secret) is None
        stored = await record.objects.get(keys.api_key(key_id))
        assert secret.encode() not in stored
        assert "hash" not in (await other.api_keys())[0]
        assert record.settings.pepper_file.stat().st_mode & 0o777 == 0o600


async def test_a_revoked_or_expired_key_opens_nothing(open_record: OpenRecord) -> None:
    async with open_record() as record, open_record() as other:
        document, text = await record.create_api_key("team")
        secret = text.split("_")[2]
        assert await other.check_api_key(document["id"], secret)
        revoked = await record.revoke_api_key(document["id"])
        assert (await record.revoke_api_key(document["id"]))["revoked_at"] == revoked["revoked_at"]
        assert await other.check_api_key(document["id"], secret) is None
        late, text = await record.create_api_key("team", expires_at=clock.now() - timedelta(seconds=1))
        assert await other.check_api_key(late["id"], text.split("_")[2]) is None
        with pytest.raises(NotFound):
            await record.revoke_api_key("A" * 8)
        await record.rebuild()
        assert await other.check_api_key(document["id"], secret) is None


async def test_a_revocation_that_the_index_missed_is_reported(record: Record) -> None:
    document, _ = await record.create_api_key("team")

    async def lost(*_: object, **__: object) -> None:
        raise RedisUnavailable("the reply was lost")

    record.mirror.put = lost  # type: ignore[method-assign]
    with pytest.raises(RedisUnavailable):
        await record.revoke_api_key(document["id"])
