"""The record of a level."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from lth_core.canonical import canonical_json, digest_of, sha256_hex
from lth_core.level import train_level
from lth_core.level_task import LevelTask
from lth_core.lineage import run_lineage
from lth_core.manifest import (
    blobs_to_keep,
    build_manifest,
    complete_core,
    core_digest,
    final_blob,
    lineage_of,
)
from lth_core.masks import pack_mask, unpack_mask
from lth_core.starts import start_document
from lth_core.weights import content_digest, from_safetensors
from tests.support.tiny import tiny_data, tiny_lineage

LINEAGE = tiny_lineage(rewind_step=3, prune={"fraction": 0.3})
KEY, DIGEST = "a" * 64, "b" * 64


@pytest.fixture(scope="module")
def chain():
    return list(run_lineage(LINEAGE, tiny_data(), 3))


def keeping(keep: str):
    return LINEAGE.model_copy(update={"keep": keep})


def test_a_core_says_what_was_trained_and_what_came_of_it(chain):
    core = chain[2].core
    assert core["level"] == 2
    assert (
        core["kept"] == sum(layer["kept"] for layer in core["layers"]) == sum(m.sum() for m in chain[2].mask.values())
    )
    assert core["prunable"] == 16 * 12 + 12 * 8 + 8 * 3
    assert core["density"] == core["kept"] / core["prunable"]
    assert core["digests"] == {
        "mask": sha256_hex(pack_mask(chain[2].mask, LINEAGE.tensors())),
        "next_mask": sha256_hex(pack_mask(chain[2].next_mask, LINEAGE.tensors())),
        "rewind": content_digest(chain[2].rewind),
        "final": content_digest(chain[2].final),
        "curves": sha256_hex(chain[2].curves),
    }
    assert core["rng"] == "philox4x32-10"
    assert core["count_rule"] == "round"
    assert core["scope"] == "layer"
    assert json.loads(canonical_json(core)) == core


def test_level_0_knows_nothing_of_pruning_so_that_a_grid_shares_it(chain):
    other = tiny_lineage(rewind_step=3, prune={"fraction": 0.7, "scope": "global", "count_rule": "ceil", "levels": 9})
    shared = train_level(LevelTask(other, 0), tiny_data())
    assert shared.core == chain[0].core
    assert shared.core["digests"]["next_mask"] is None


def test_equal_bits_give_equal_cores_whatever_is_kept_and_however_long_the_chain_is(chain):
    other = LINEAGE.model_copy(update={"keep": "all", "prune": LINEAGE.prune.model_copy(update={"levels": 30})})
    task = LevelTask(other, 1, chain[1].mask, chain[0].rewind)
    assert train_level(task, tiny_data()).core == chain[1].core


def test_a_core_can_be_computed_again_from_itself(chain):
    for result in chain:
        lineage = lineage_of(json.loads(canonical_json(result.core)))
        assert lineage.dense_identity() == LINEAGE.dense_identity()
        if result.core["level"]:
            assert lineage.identity() == LINEAGE.identity()


def test_a_completed_core_stands_in_its_chain(chain):
    core = complete_core(chain[1].core, key=KEY, parent=DIGEST, mask_from=None)
    assert (core["key"], core["parent"], core["mask_from"]) == (KEY, DIGEST, None)
    assert core_digest(core) == digest_of(core)
    with pytest.raises(ValueError, match="has a parent exactly if"):
        complete_core(chain[1].core, key=KEY, parent=None, mask_from=None)
    with pytest.raises(ValueError, match="has a parent exactly if"):
        complete_core(chain[0].core, key=KEY, parent=DIGEST, mask_from=None)
    with pytest.raises(ValueError, match="exactly if it is a control"):
        complete_core(chain[1].core, key=KEY, parent=DIGEST, mask_from=DIGEST)


def test_level_0_always_keeps_its_weights(chain):
    for keep in ("masks", "tickets", "all"):
        assert set(blobs_to_keep(chain[0], keeping(keep))) == {"mask", "rewind", "final", "curves"}


@pytest.mark.parametrize(
    ("keep", "names"),
    [
        ("masks", {"mask", "next_mask", "curves"}),
        ("tickets", {"mask", "next_mask", "curves", "rewind"}),
        ("all", {"mask", "next_mask", "curves", "rewind", "final"}),
    ],
)
def test_later_levels_keep_what_is_asked_for(chain, keep, names):
    assert set(blobs_to_keep(chain[1], keeping(keep))) == names


def test_blobs_hold_what_the_core_digests(chain):
    blobs = blobs_to_keep(chain[1], keeping("all"))
    digests = chain[1].core["digests"]
    for name in ("mask", "next_mask", "curves"):
        assert blobs[name].sha256 == digests[name]
    for name in ("rewind", "final"):
        assert content_digest(from_safetensors(blobs[name].data)) == digests[name]
    assert final_blob(chain[1]).data == blobs["final"].data
    layers = {layer["name"]: layer["kept"] for layer in chain[1].core["layers"]}
    unpack_mask(blobs["mask"].data, LINEAGE.tensors(), layers)
    assert blobs["mask"].reference() == {
        "sha256": digests["mask"],
        "size_bytes": 39,
        "media_type": "application/vnd.lth.mask",
    }


def test_an_envelope_changes_no_core(chain):
    core = complete_core(chain[1].core, key=KEY, parent=DIGEST, mask_from=None)
    common = {
        "start": start_document(LINEAGE, 1),
        "search": "srch_x",
        "started_at": "2026-01-01T00:00:00.000Z",
        "engine": "reference",
        "code": "1",
    }
    one, two = (
        build_manifest(
            core, {}, epoch=n, attempt=n, committed_at=f"2026-01-0{n}T00:00:00.000Z", fingerprint={"n": n}, **common
        )
        for n in (1, 2)
    )
    assert one["core_sha256"] == two["core_sha256"] == core_digest(core)
    assert one["fingerprint_sha256"] == digest_of({"n": 1}) != two["fingerprint_sha256"]
    assert one["format"] == 1


def test_what_trials_and_servers_import_of_the_core_needs_no_torch():
    names = (
        "manifest masks weights counts pruning random results verdicts bounds controls initialisation errors schedules"
    )
    code = (
        f"import sys\nfor name in {names.split()!r}: __import__('lth_core.' + name)\n"
        "print('torch' in sys.modules, 'scipy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
