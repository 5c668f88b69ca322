"""The kernels are found where they fit, and refused with a reason where they do not."""

from __future__ import annotations

import pytest

from lth_core.native import compiled

HERE = compiled.HERE


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """The package as if it lay in an empty folder."""
    monkeypatch.setattr(compiled, "HERE", tmp_path)
    compiled.load.cache_clear()
    yield tmp_path
    compiled.load.cache_clear()


def test_kernels_that_were_not_built_are_unavailable_with_a_reason(elsewhere):
    assert not compiled.available()
    assert "not built" in compiled.reason()
    with pytest.raises(compiled.NativeUnavailableError, match="not built"):
        compiled.identity()


def test_a_file_that_is_no_library_is_unavailable_with_a_reason(elsewhere):
    (elsewhere / "_kernels.abi3.so").write_bytes(b"no library")
    assert "cannot be loaded" in compiled.reason()


def test_kernels_of_other_sources_are_unavailable_with_a_reason(elsewhere, monkeypatch):
    built = next(path for path in HERE.iterdir() if path.name.startswith("_kernels") and path.suffix in (".so", ".pyd"))
    (elsewhere / built.name).symlink_to(built)
    assert compiled.available()
    compiled.load.cache_clear()
    (elsewhere / "source").mkdir()
    (elsewhere / "source" / "new.c").write_text("int other;")
    assert "other sources" in compiled.reason()


def test_the_identity_is_the_digest_of_the_sources():
    assert compiled.identity() == compiled.sources_sha256(HERE / "source")
