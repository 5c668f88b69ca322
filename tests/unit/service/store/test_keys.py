"""Object keys are built from checked parts only."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.store import keys

SEARCH = "srch_01M818AAB20GX731VMRNSBV2H5"
UPLOAD = "upl_7ZZZZZZZZZZZZZZZZZZZZZZZZZ"
HEX = "ab" * 32
SAFE = re.compile(r"[A-Za-z0-9._/-]+")


def test_keys_lie_where_the_record_says() -> None:
    assert keys.spec("local", SEARCH) == f"searches/local/{SEARCH}/spec.json"
    assert keys.log_record("local", SEARCH, 2) == f"searches/local/{SEARCH}/log/000002.json"
    assert keys.results("local", SEARCH, HEX) == f"searches/local/{SEARCH}/results/{HEX}.json"
    assert keys.manifest("local", HEX, 7) == f"lineages/local/{HEX}/L007.json"
    assert keys.blob("local", HEX) == f"blobs/local/{HEX}"
    assert keys.derived("local", SEARCH, SEARCH, "report", "figure-accuracy.svg") == (
        f"searches/local/{SEARCH}/results/report/{SEARCH}/figure-accuracy.svg.json"
    )
    assert keys.upload("local", UPLOAD) == f"uploads/local/{UPLOAD}.json"
    assert keys.epoch(12) == "epochs/000000000012.json"
    assert keys.scale_record(3) == "scale/000003.json"
    assert keys.dataset_file("mnist", HEX, "manifest.json") == f"datasets/mnist/{HEX}/manifest.json"
    assert keys.api_key("aB3dE6gH") == "keys/aB3dE6gH.json"
    assert keys.scratch_final("local", HEX, 3) == f"scratch/final/local/{HEX}/L003.safetensors"


def test_a_claim_is_named_by_the_hash_of_its_idempotency_key() -> None:
    assert re.fullmatch(r"claims/local/[0-9a-f]{64}\.json", keys.claim("local", "any ~ text / ../"))
    assert keys.claim("local", "a") != keys.claim("local", "b")


hostile = st.one_of(
    st.text(max_size=80),
    st.sampled_from(["..", "../x", "a/b", "a\x00b", "%2e%2e", "..%2f", "a\n", "", "x" * 5000, "a.json", "ä"]),
)


@given(hostile)
def test_no_text_leads_out_of_its_folder(text: str) -> None:
    builders = (
        lambda: keys.searches(text),
        lambda: keys.spec("local", text),
        lambda: keys.manifest("local", text, 0),
        lambda: keys.blob(text, HEX),
        lambda: keys.dataset_file(text, HEX, "manifest.json"),
        lambda: keys.dataset_file("mnist", HEX, text),
        lambda: keys.api_key(text),
        lambda: keys.self_test("abcdefgh", text),
        lambda: keys.claim("local", text),
        lambda: keys.uploads(text),
        lambda: keys.upload("local", text),
        lambda: keys.derived("local", SEARCH, text, "report", "html"),
        lambda: keys.derived("local", SEARCH, SEARCH, text, "html"),
        lambda: keys.derived("local", SEARCH, SEARCH, "report", text),
    )
    for build in builders:
        try:
            key = build()
        except (ValueError, UnicodeEncodeError):
            continue
        assert SAFE.fullmatch(key)
        assert ".." not in key.split("/")
        assert "" not in key.removesuffix("/").split("/")


@pytest.mark.parametrize(("level", "number"), [(-1, -1), (1000, 1_000_000)])
def test_numbers_have_bounds(level: int, number: int) -> None:
    with pytest.raises(ValueError, match="level"):
        keys.manifest("local", HEX, level)
    with pytest.raises(ValueError, match="record number"):
        keys.log_record("local", SEARCH, number)


@given(st.integers(0, 999), st.integers(0, 10**6 - 1))
def test_numbers_are_read_back_out_of_their_keys(level: int, number: int) -> None:
    assert keys.level_of(keys.manifest("local", HEX, level)) == level
    assert keys.number_of(keys.log_record("local", SEARCH, number)) == number
    assert keys.number_of(keys.epoch(number)) == number
    assert keys.search_of(keys.log_record("local", SEARCH, number)) == ("local", SEARCH)


def test_other_keys_are_not_mistaken() -> None:
    assert keys.level_of("lineages/local/x/L000.json") is None
    assert keys.search_of("searches/local/other/spec.json") is None
    assert not keys.is_search_id(SEARCH + "\n")
    assert not keys.is_search_id(SEARCH.lower())
