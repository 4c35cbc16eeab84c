"""Only whole 8-bit pictures are read, and their grey values are the common ones."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.evaluation.pictures import grey_of, read_picture

COLOUR = np.random.default_rng(0).integers(0, 256, (40, 50, 3)).astype(np.uint8)


def saved(path: Path, image: np.ndarray = COLOUR) -> Path:
    assert cv2.imwrite(str(path), image)
    return path


def test_grey_is_the_rounded_luma_of_the_colour_picture() -> None:
    blue, green, red = (COLOUR[..., i].astype(float) for i in range(3))
    assert grey_of(COLOUR) == pytest.approx(np.rint(0.299 * red + 0.587 * green + 0.114 * blue))


def test_a_grey_picture_keeps_its_values(tmp_path: Path) -> None:
    path = saved(tmp_path / "grey.png", COLOUR[..., 0])
    picture = read_picture(path)
    assert picture.shape == (40, 50)
    assert (grey_of(picture) == COLOUR[..., 0]).all()


def test_a_picture_with_transparency_is_read_without_it(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", np.dstack([COLOUR, np.full((40, 50), 9, np.uint8)]))
    assert (read_picture(path) == COLOUR).all()


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "webp", "tif"])
def test_a_picture_cut_in_half_is_refused(
    tmp_path: Path, suffix: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = saved(tmp_path / f"a.{suffix}")
    assert read_picture(path).shape == COLOUR.shape
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=rf"a\.{suffix}: "):
        read_picture(path)
    capfd.readouterr()  # decoders write their own complaints


def test_a_jpeg_cut_in_half_is_refused_even_with_a_whole_thumbnail_inside(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.jpg")
    data = path.read_bytes()
    thumbnail = data[: len(data) - 200] + b"\xff\xd9"
    comment = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    whole = data[:2] + comment + data[2:]
    path.write_bytes(whole)
    assert read_picture(path).shape == COLOUR.shape
    path.write_bytes(whole[:-400])
    with pytest.raises(InputError, match="cut short"):
        read_picture(path)


@pytest.mark.parametrize(("content", "words"), [(b"", "empty"), (b"hello", "not a picture")])
def test_no_picture_at_all_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(InputError, match=words):
        read_picture(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_picture(tmp_path / "none.png")


def test_sixteen_bits_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", COLOUR[..., 0].astype(np.uint16) * 256)
    with pytest.raises(InputError, match="uint16"):
        read_picture(path)
