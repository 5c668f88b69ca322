"""What the record needs of any object store: facts are created once, read back whole, and listed in order."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import pytest

from lth_core.canonical import sha256_hex
from service.store import keys
from service.store.errors import ArtefactCorrupt, ObjectNotFound, StoreRefused, StoreUnavailable
from service.store.objects import ObjectStore
from service.store.selftest import self_test
from tests.support.stores import s3_address

pytestmark = pytest.mark.anyio


async def test_an_object_is_created_once_and_never_changed(objects: ObjectStore) -> None:
    assert await objects.create("claims/a", b"first")
    assert not await objects.create("claims/a", b"second")
    assert await objects.get("claims/a") == b"first"


async def test_the_loser_of_a_conditional_put_reads_the_winner(objects: ObjectStore) -> None:
    assert await objects.put_if_absent("claims/a", b"first") == (b"first", True)
    assert await objects.put_if_absent("claims/a", b"second") == (b"first", False)


async def test_repeating_an_own_put_finds_it_standing(objects: ObjectStore) -> None:
    await objects.put_if_absent("claims/a", b"mine")
    assert await objects.put_if_absent("claims/a", b"mine") == (b"mine", True)


async def test_of_racing_writers_exactly_one_wins(objects: ObjectStore) -> None:
    racers = [objects.connect_anew() for _ in range(8)]
    for number in range(5):
        puts = (racer.put_if_absent(f"epochs/{number}", bytes([i])) for i, racer in enumerate(racers))
        answers = await asyncio.gather(*puts)
        standing = await objects.get(f"epochs/{number}")
        assert [ours for _, ours in answers].count(True) == 1
        assert all(bytes_ == standing for bytes_, _ in answers)
        assert answers[standing[0]][1]


async def test_what_is_not_there_is_not_found(objects: ObjectStore) -> None:
    with pytest.raises(ObjectNotFound):
        await objects.get("claims/none")
    with pytest.raises(ObjectNotFound):
        await objects.head("claims/none")
    await objects.delete("claims/none")


async def test_sizes_and_ranges_are_exact(objects: ObjectStore) -> None:
    await objects.create("blobs/a", bytes(range(100)))
    assert (await objects.head("blobs/a")).size_bytes == 100
    assert await objects.get_range("blobs/a", 10, 5) == bytes(range(10, 15))
    with pytest.raises(StoreUnavailable):
        await objects.get_range("blobs/a", 90, 20)


async def test_listings_are_sorted_and_bounded_by_their_prefix(objects: ObjectStore) -> None:
    for key in ("searches/b/2", "searches/a/10", "searches/a/1", "searching/x"):
        await objects.create(key, b"")
    assert await objects.list("searches/") == ["searches/a/1", "searches/a/10", "searches/b/2"]
    assert await objects.list_folders("searches/") == ["a", "b"]
    assert await objects.list("nothing/") == []


async def test_only_scratch_may_be_overwritten(objects: ObjectStore) -> None:
    await objects.overwrite("scratch/x", b"1")
    await objects.overwrite("scratch/x", b"2")
    assert await objects.get("scratch/x") == b"2"
    with pytest.raises(ValueError, match="only scratch/"):
        await objects.overwrite("claims/x", b"1")


@pytest.mark.parametrize("size_bytes", [0, 33_275, 3_000_000])
async def test_a_blob_is_named_by_its_bytes_and_put_once(objects: ObjectStore, size_bytes: int) -> None:
    data = hashlib.shake_128(b"blob").digest(size_bytes)
    first = await objects.put_blob("local", data)
    again = await objects.put_blob("local", data)
    assert first == again
    assert first.sha256 == sha256_hex(data)
    assert await objects.get_blob("local", first.sha256) == data


async def test_a_blob_whose_bytes_changed_is_never_served(objects: ObjectStore) -> None:
    ref = await objects.put_blob("local", b"right")
    await objects.delete(keys.blob("local", ref.sha256))
    await objects.create(keys.blob("local", ref.sha256), b"wrong")
    with pytest.raises(ArtefactCorrupt):
        await objects.get_blob("local", ref.sha256)
    with pytest.raises(ArtefactCorrupt):
        await objects.put_blob("local", b"right")


async def test_a_right_store_passes_the_self_test_and_is_left_clean(objects: ObjectStore) -> None:
    await self_test(objects)
    assert await objects.list("scratch/") == []


async def test_rclone_refuses_a_forged_signature(rclone_endpoint: str) -> None:
    forged = s3_address(rclone_endpoint, secret="guessed").connect()
    with pytest.raises(StoreUnavailable):
        await forged.create("claims/a", b"x")
    honest = s3_address(rclone_endpoint).connect()
    assert await honest.create("claims/a", b"x")


async def test_the_self_test_refuses_rclone_for_ignoring_conditional_puts(rclone_endpoint: str) -> None:
    with pytest.raises(StoreRefused, match="conditional puts"):
        await self_test(s3_address(rclone_endpoint).connect())


async def test_a_store_that_answers_ranges_with_everything_is_refused(rclone_endpoint: str) -> None:
    objects = s3_address(rclone_endpoint).connect()
    await objects.create("blobs/a", bytes(100))
    with pytest.raises(StoreUnavailable):
        await objects.get_range("blobs/a", 10, 5)


async def test_a_store_out_of_reach_is_reported_at_once(unused_endpoint: str) -> None:
    objects = s3_address(unused_endpoint).connect()
    async with asyncio.timeout(4):
        with pytest.raises(StoreUnavailable):
            await objects.get("claims/a")
        with pytest.raises(StoreUnavailable):
            await objects.put_if_absent("claims/a", b"x")


async def test_a_symbolic_link_does_not_lead_out_of_a_local_folder(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    root = tmp_path / "objects"
    objects = ObjectStore.from_url(f"file://{root}")
    (root / "blobs").symlink_to(outside)
    with pytest.raises(StoreUnavailable):
        await objects.get("blobs/secret")
    with pytest.raises(StoreUnavailable):
        await objects.create("blobs/new", b"x")
    assert not (outside / "new").exists()


@pytest.mark.parametrize("key", ["../x", "a/../../x", "a//b", "/etc/passwd", "./a"])
async def test_dotted_keys_do_not_lead_out_of_a_local_folder(tmp_path: Path, key: str) -> None:
    objects = ObjectStore.from_url(f"file://{tmp_path / 'objects'}")
    with pytest.raises(ValueError, match="must not contain"):
        await objects.create(key, b"x")


async def test_nothing_is_acknowledged_that_the_disk_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    objects = ObjectStore.from_url(f"file://{tmp_path / 'objects'}")

    def refuse(_: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr("os.fsync", refuse)
        with pytest.raises(StoreUnavailable):
            await objects.create("claims/a", b"x")
        with pytest.raises(StoreUnavailable):
            await objects.put_if_absent("claims/a", b"x")
    assert await objects.put_if_absent("claims/a", b"x") == (b"x", True)


async def test_what_another_process_put_is_made_durable_before_it_is_relied_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"file://{tmp_path / 'objects'}"
    await ObjectStore.from_url(url).create("claims/a", b"x")

    def refuse(_: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr("os.fsync", refuse)
        for data in (b"x", b"y"):
            with pytest.raises(StoreUnavailable):
                await ObjectStore.from_url(url).put_if_absent("claims/a", data)
