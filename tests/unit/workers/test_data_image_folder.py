"""An image folder, or an archive of one, becomes arrays in one deterministic order."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lth_core.errors import UserError
from workers.image_folder import decode_image_folder


def write_image(path: Path, value: int, *, size: tuple[int, int] = (5, 4), mode: str = "L") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    colour: object = value if mode in ("L", "I;16") else (value, 2 * value, 3 * value, 9)[: len(mode)]
    Image.new(mode, size, colour).save(path)  # type: ignore[arg-type]


def make_folder(root: Path, *, mode: str = "L") -> Path:
    for part, count in (("train", 6), ("test", 2)):
        for label, name in enumerate(("cat", "dog")):
            for number in range(count):
                write_image(root / part / name / f"{number:03d}.png", 10 * label + number, mode=mode)
    return root


def make_archive(folder: Path, path: Path, *, backwards: bool = False, prefix: str = "") -> Path:
    files = sorted((p for p in folder.rglob("*") if p.is_file()), reverse=backwards)
    with tarfile.open(path, "w:gz") as archive:
        for file in files:
            archive.add(file, arcname=prefix + file.relative_to(folder).as_posix())
    return path


def test_examples_are_sorted_by_class_and_file_name(tmp_path: Path) -> None:
    decoded = decode_image_folder("pets", make_folder(tmp_path))
    assert decoded.classes == ("cat", "dog")
    assert decoded.train_images.shape == (12, 1, 4, 5)
    assert decoded.train_images[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4, 5, 10, 11, 12, 13, 14, 15]
    assert decoded.train_labels.tolist() == [0] * 6 + [1] * 6
    assert decoded.test_labels.tolist() == [0, 0, 1, 1]


def test_an_archive_in_any_order_gives_the_folder_s_digest(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "pets")
    expected = decode_image_folder("pets", folder).info()
    forwards = make_archive(folder, tmp_path / "a.tar.gz")
    backwards = make_archive(folder, tmp_path / "b.tgz", backwards=True, prefix="./pets-1.0/")
    assert decode_image_folder("pets", forwards).info() == expected
    assert decode_image_folder("pets", backwards).info() == expected


def test_colour_images_become_three_channels_first(tmp_path: Path) -> None:
    decoded = decode_image_folder("pets", make_folder(tmp_path, mode="RGB"))
    assert decoded.train_images.shape == (12, 3, 4, 5)
    assert decoded.train_images[7, :, 0, 0].tolist() == [11, 22, 33]


def test_transparency_is_dropped(tmp_path: Path) -> None:
    decoded = decode_image_folder("pets", make_folder(tmp_path, mode="RGBA"))
    assert decoded.train_images[7, :, 0, 0].tolist() == [11, 22, 33]


@pytest.mark.parametrize(
    ("name", "size", "mode", "complaint"),
    [
        ("train/dog/odd.png", (6, 4), "L", r"train/dog/odd.png is 6 x 4 pixels with 1 channel, but .* 5 x 4"),
        ("train/dog/odd.png", (5, 4), "RGB", "train/dog/odd.png is 5 x 4 pixels with 3 channels, but"),
        ("train/dog/odd.png", (5, 4), "I;16", "train/dog/odd.png has mode 'I;16'"),
        ("test/emu/odd.png", (5, 4), "L", "class 'emu' of test/emu/odd.png has no training image"),
        ("other/dog/odd.png", (5, 4), "L", "other/dog/odd.png .* does not lie under"),
        ("train/odd.png", (5, 4), "L", "train/odd.png .* does not lie under"),
    ],
)
def test_a_file_that_does_not_fit_is_named(
    tmp_path: Path, name: str, size: tuple[int, int], mode: str, complaint: str
) -> None:
    make_folder(tmp_path)
    write_image(tmp_path / name, 1, size=size, mode=mode)
    with pytest.raises(UserError, match=complaint):
        decode_image_folder("pets", tmp_path)


def test_a_file_that_is_no_image_is_named(tmp_path: Path) -> None:
    make_folder(tmp_path)
    (tmp_path / "train/dog/bad.png").write_bytes(b"\x89PNG\r\n\x1a\n torn")
    with pytest.raises(UserError, match=r"train/dog/bad\.png cannot be decoded"):
        decode_image_folder("pets", tmp_path)
    (tmp_path / "train/dog/bad.png").rename(tmp_path / "train/dog/bad.txt")
    with pytest.raises(UserError, match=r"train/dog/bad.txt .* no image's ending"):
        decode_image_folder("pets", tmp_path)


def test_hidden_files_are_left_alone(tmp_path: Path) -> None:
    make_folder(tmp_path)
    (tmp_path / "train/dog/.DS_Store").write_bytes(b"x")
    assert decode_image_folder("pets", tmp_path).info().num_train == 12


def test_an_archive_with_a_link_or_a_repeated_name_is_refused(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "pets")
    path = make_archive(folder, tmp_path / "pets.tar.gz")
    with tarfile.open(path, "w") as archive:
        link = tarfile.TarInfo("train/dog/link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    with pytest.raises(UserError, match=r"train/dog/link\.png .* is a link"):
        decode_image_folder("pets", path)
    with tarfile.open(path, "w") as archive:
        content = (folder / "train/dog/000.png").read_bytes()
        for _ in range(2):
            member = tarfile.TarInfo("train/dog/000.png")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    with pytest.raises(UserError, match=r"train/dog/000\.png stands in .* twice"):
        decode_image_folder("pets", path)


def test_an_archive_cut_short_is_refused(tmp_path: Path) -> None:
    path = make_archive(make_folder(tmp_path / "pets"), tmp_path / "pets.tar.gz")
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(UserError, match="cannot be read to its end"):
        decode_image_folder("pets", path)


def test_a_missing_path_and_an_empty_part_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no folder"):
        decode_image_folder("pets", tmp_path / "nowhere")
    write_image(tmp_path / "train/dog/0.png", 1)
    with pytest.raises(UserError, match="no image under test"):
        decode_image_folder("pets", tmp_path)


def test_progress_counts_every_image(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    decode_image_folder("pets", make_folder(tmp_path), lambda done, total: seen.append((done, total)))
    assert seen == [(n, 16) for n in range(1, 17)]


def test_real_cifar10_jpegs_are_sixty_thousand() -> None:
    path = Path(os.environ.get("LTH_TEST_DATA", "")) / "cifar10-jpeg.tar.gz"
    if not os.environ.get("LTH_TEST_DATA") or not path.is_file():
        pytest.skip("LTH_TEST_DATA names no folder with cifar10-jpeg.tar.gz")
    decoded = decode_image_folder("cifar10-jpeg", path)
    assert decoded.train_images.shape == (50_000, 3, 32, 32)
    assert decoded.test_images.shape == (10_000, 3, 32, 32)
    assert decoded.classes is not None
    assert len(decoded.classes) == 10
    assert np.bincount(decoded.train_labels).tolist() == [5000] * 10
