"""Picture files: found, matched by name, read and written. The only place that decodes them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from thermal_fusion_ros.bags.source import thermal_kind
from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.files import write_whole
from thermal_fusion_ros.frames import FramePair, RgbFrame, ThermalFrame

if TYPE_CHECKING:
    from numpy.typing import NDArray

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm"})
_JPEG_START, _JPEG_SCAN, _JPEG_END = b"\xff\xd8", b"\xff\xda", b"\xff\xd9"
_PNG_START, _PNG_END = b"\x89PNG", b"IEND"


@dataclass(frozen=True)
class PicturePair:
    """Two files of the same `name` (the file name without its suffix)."""

    name: str
    visible: Path
    thermal: Path


def natural_key(text: str) -> list[tuple[int, str]]:
    """Sort key under which `frame_9` comes before `frame_10`."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", text)]


def list_pictures(folder: Path) -> dict[str, list[Path]]:
    """The pictures of `folder` by name, in natural order; `a.png` and `a.bmp` are both `a`.

    Raises `InputError` when there is none.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: not a folder")
    files = [
        path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    ]
    if not files:
        raise InputError(f"{folder}: no pictures in it (looked for {', '.join(sorted(SUFFIXES))})")
    listing: defaultdict[str, list[Path]] = defaultdict(list)
    for path in sorted(files, key=lambda path: natural_key(path.name)):
        listing[path.stem].append(path)
    return dict(listing)


def match_pictures(visible: Path, thermal: Path) -> tuple[list[PicturePair], list[str]]:
    """Pair the pictures of two folders by name.

    Returns the pairs in natural order and one line per picture that has no partner, or whose name a folder has twice:
    which of the two shows the scene of the partner, nobody knows. Raises `InputError` when a folder has no pictures
    or no pair is left.
    """
    ours, theirs = list_pictures(visible), list_pictures(thermal)
    both = [name for name in ours if name in theirs]
    if not both:
        raise InputError(
            f"{visible} and {thermal}: no picture has the same name in both "
            f"(for example {next(iter(ours))} and {next(iter(theirs))}); name partners alike"
        )
    lonely = _lonely(visible, ours, thermal, theirs) + _lonely(thermal, theirs, visible, ours)
    pairs = [
        PicturePair(name, ours[name][0], theirs[name][0])
        for name in both
        if len(ours[name]) == len(theirs[name]) == 1
    ]
    if not pairs:
        raise InputError(
            f"{visible} and {thermal}: one of them has every name twice that is in both "
            f"(for example {both[0]}); keep one of the two"
        )
    return pairs, lonely


def _lonely(
    folder: Path, names: Mapping[str, Sequence[Path]], other: Path, partners: Mapping[str, object]
) -> list[str]:
    lines = []
    for name, paths in names.items():
        if len(paths) > 1:
            files = " and ".join(path.name for path in paths)
            lines.append(f"{name}: {folder} has it twice: {files}; keep one")
        elif name not in partners:
            lines.append(f"{paths[0]}: no picture named {name} in {other}")
    return lines


def read_visible(path: Path) -> NDArray[np.uint8]:
    """H×W×3 uint8 RGB. Grey pictures are repeated in three channels. Raises `InputError` when unreadable."""
    return np.ascontiguousarray(decode(path, cv2.IMREAD_COLOR)[..., ::-1])


def picture_size(path: Path) -> tuple[int, int]:
    """Height and width in pixels, (0, 0) when unreadable."""
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    return (0, 0) if image is None else (image.shape[0], image.shape[1])


def read_thermal(path: Path) -> NDArray[Any]:
    """H×W uint8, or uint16 where the file has 16 bits. Colour is reduced to grey. Raises `InputError`."""
    image = decode(path, cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH)
    if image.dtype not in (np.uint8, np.uint16):
        raise InputError(f"{path}: {image.dtype} pixels; store thermal pictures with 8 or 16 bits")
    return image


def read_pair(pair: PicturePair) -> FramePair:
    """Both pictures as frames without a time. Raises `InputError` when one is unreadable."""
    thermal = read_thermal(pair.thermal)
    return FramePair(RgbFrame(0, read_visible(pair.visible)), ThermalFrame(0, thermal, thermal_kind(thermal)))


def write_picture(path: Path, image: NDArray[Any]) -> None:
    """Write H×W×3 RGB or H×W grey; the suffix chooses the format. Raises `InputError` when that fails."""
    stored = image[..., ::-1] if image.ndim == 3 else image
    # PNG: level 1 is three times faster than the default for a few percent more bytes.
    options = [cv2.IMWRITE_PNG_COMPRESSION, 1] if path.suffix.lower() == ".png" else []
    try:
        written, data = cv2.imencode(path.suffix, np.ascontiguousarray(stored), options)
        if not written:
            raise InputError(f"{path}: the picture could not be encoded as {path.suffix}")
    except cv2.error as error:
        raise InputError(f"{path}: not written: {_reason(error)}") from error
    write_whole(path, data.tobytes())


def decode(path: Path, flags: int) -> NDArray[Any]:
    """Decode a picture file with OpenCV's `flags`; :class:`InputError` when it is unreadable or cut short.

    Decoders fill what is missing with grey and say nothing: cut files are found by their missing end.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: not readable: {_reason(error)}") from error
    if not data:
        raise InputError(f"{path}: the file is empty")
    if data.startswith(_PNG_START) and _PNG_END not in data:
        raise InputError(f"{path}: the PNG is cut short; copy or make it again")
    # An end marker inside an embedded thumbnail lies before the last start of scan.
    if data.startswith(_JPEG_START) and data.rfind(_JPEG_END) < data.rfind(_JPEG_SCAN):
        raise InputError(f"{path}: the JPEG is cut short; copy or make it again")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise InputError(f"{path}: not a picture, or a damaged one: {_reason(error)}") from error
    if image is None or image.size == 0:
        raise InputError(f"{path}: not a picture, or a damaged one")
    return image


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).strip().splitlines()[-1]
