"""The figure of a search as files."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.cli.exits import UsageError
from service.cli.plot import OTHERS, STYLES, plot_search
from service.cli.results import WINNING, LevelPoint, levels_by_treatment
from tests.support.requires import require

MAGIC = {".png": b"\x89PNG", ".pdf": b"%PDF", ".svg": b"<?xml"}


@pytest.fixture(autouse=True)
def matplotlib() -> None:
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        require(False, "the package matplotlib is missing")


def curves(setting: str = "") -> dict[str, list[LevelPoint]]:
    return levels_by_treatment(
        LevelPoint(treatment, replicate, setting, level, 0.8**level, 0.97 - 0.001 * level * replicate, 100 + level)
        for treatment in (WINNING, "random_reinit", "something_new")
        for replicate in range(3)
        for level in range(9)
    )


@pytest.mark.parametrize("extension", sorted(MAGIC))
def test_the_figure_is_written_in_the_format_of_its_extension(tmp_path: Path, extension: str) -> None:
    path = plot_search(curves(), tmp_path / "new" / f"figure{extension}", "lenet on digits, n = 3 replicates")
    data = path.read_bytes()
    assert data.startswith(MAGIC[extension])
    assert len(data) > 5000


def test_the_figure_names_every_curve_and_both_axes(tmp_path: Path) -> None:
    import matplotlib as mpl

    with mpl.rc_context({"svg.fonttype": "none"}):
        text = plot_search(curves(), tmp_path / "figure.svg", "my title").read_text()
    for word in ("winning ticket", "random reinit", "something new", "dense network", "density", "my title"):
        assert word in text, word
    assert "test accuracy at early stop" in text
    assert "early-stop step" in text


def test_the_curves_of_a_grid_differ_in_colour_and_marker(tmp_path: Path) -> None:
    assert len({style[:2] for style in (*STYLES.values(), *OTHERS)}) == len(STYLES) + len(OTHERS)
    assert plot_search(curves("prune.fraction=0.2"), tmp_path / "grid.svg").stat().st_size > 5000


def test_a_run_that_still_improved_at_its_end_is_drawn_hollow(tmp_path: Path) -> None:
    import matplotlib as mpl

    points = [LevelPoint(WINNING, 0, "", level, 0.8**level, 0.9, 400, converged=level < 2) for level in range(3)]
    with mpl.rc_context({"svg.fonttype": "none"}):
        assert "hollow" in plot_search({WINNING: points}, tmp_path / "a.svg").read_text()
        assert "hollow" not in plot_search({WINNING: points[:2]}, tmp_path / "b.svg").read_text()


def test_levels_without_measurements_are_left_out(tmp_path: Path) -> None:
    some = {WINNING: [LevelPoint(WINNING, 0, "", 1, 0.8, None, None), LevelPoint(WINNING, 0, "", 2, 0.64, 0.9, 10)]}
    assert plot_search(some, tmp_path / "one.png").exists()


def test_an_unknown_format_and_an_empty_search_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.pdf"):
        plot_search(curves(), tmp_path / "figure.bmp")
    with pytest.raises(UsageError, match="no committed level"):
        plot_search({}, tmp_path / "figure.png")
