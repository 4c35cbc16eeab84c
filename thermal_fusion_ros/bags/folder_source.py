"""Recordings kept as two folders: one video each, or pictures with matching names."""

from __future__ import annotations

import heapq
import itertools
import math
import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from thermal_fusion_ros.bags.pictures import (
    SUFFIXES as PICTURE_SUFFIXES,
)
from thermal_fusion_ros.bags.pictures import (
    match_pictures,
    natural_key,
    read_thermal,
    read_visible,
)
from thermal_fusion_ros.bags.source import FIRST_STAMP_NS, SECOND_NS, Arrival, Recording, Source, thermal_kind
from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.frames import RgbFrame, ThermalFrame

VIDEO_SUFFIXES = frozenset({".mp4", ".avi", ".mkv", ".mov", ".webm", ".m4v"})
DEFAULT_FPS = 30.0
GRAY16 = int.from_bytes(b"Y1\x00\x10", "little")  # FFmpeg's tag of 16-bit grey pixels
RGB_FRAME_ID, THERMAL_FRAME_ID = "rgb_optical_frame", "thermal_optical_frame"

# The decoder writes its own complaints about broken videos to stderr; ours say which file and what was kept.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")


def open_folders(visible: Path, thermal: Path, *, clip: str = "", fps: float = 0.0) -> Source:
    """Open two folders; see :func:`thermal_fusion_ros.bags.source.open_source`."""
    if not 0 <= fps < math.inf:
        raise InputError(f"--fps {fps:g}: must be a number above 0")
    videos = {folder: _files(folder, VIDEO_SUFFIXES) for folder in (visible, thermal)}
    if all(videos.values()):
        return VideoPairSource(*_choose_videos(videos[visible], videos[thermal], clip), fps=fps)
    if any(videos.values()) and not all(_files(folder, PICTURE_SUFFIXES) for folder in videos):
        without = next(folder for folder, found in videos.items() if not found)
        raise InputError(
            f"{without}: no video in it, but its neighbour holds one; put the partner video there"
        )
    if clip:
        raise InputError(f"--clip {clip}: {visible} holds pictures, not videos; leave --clip out")
    return PicturePairSource(visible, thermal, fps=fps or DEFAULT_FPS)


class PicturePairSource(Recording):
    """Pictures with matching names, stamped `fps` apart in natural order of their names.

    A pair of which one picture is unreadable is left out; its time stays empty.
    """

    def __init__(self, visible: Path, thermal: Path, *, fps: float) -> None:
        super().__init__(visible.parent.name)
        self.fps = fps
        self.pairs, lonely = match_pictures(visible, thermal)
        self.problems.extend(lonely)

    @property
    def frame_count(self) -> int | None:
        """Two per pair."""
        return 2 * len(self.pairs)

    def arrivals(self) -> Iterator[Arrival]:
        """RGB first, then thermal, pair by pair. Raises `InputError` when not one pair can be read."""
        read = 0
        for index, pair in enumerate(self.pairs):
            try:
                visible, thermal = read_visible(pair.visible), read_thermal(pair.thermal)
            except InputError as error:
                self.report(str(error))
                continue
            read += 1
            stamp = _stamp(index, self.fps)
            yield Arrival(stamp, RgbFrame(stamp, visible, RGB_FRAME_ID))
            yield Arrival(stamp, ThermalFrame(stamp, thermal, thermal_kind(thermal), THERMAL_FRAME_ID))
        if not read:
            raise InputError(
                f"{self.pairs[0].visible.parent}: no pair could be read; first: {self.problems[0]}"
            )


class VideoPairSource(Recording):
    """Two videos that began together, each stamped by its own frame rate (or `fps` for both)."""

    def __init__(self, visible: Path, thermal: Path, *, fps: float = 0.0) -> None:
        super().__init__(visible.stem)
        self.visible, self.thermal = visible, thermal
        (self.rgb_fps, rgb_count), (self.thermal_fps, thermal_count) = _probe(visible), _probe(thermal)
        if fps:
            self.rgb_fps = self.thermal_fps = fps
        self._frame_count = rgb_count + thermal_count

    @property
    def frame_count(self) -> int | None:
        """What the two files' headers promise."""
        return self._frame_count or None

    def arrivals(self) -> Iterator[Arrival]:
        """In time order, RGB first where both are due; ends with the shorter video."""
        ends: dict[Path, int] = {}  # stamp of the last frame of a video that is over
        period_ns = SECOND_NS / max(self.rgb_fps, self.thermal_fps)
        streams: tuple[Iterator[RgbFrame | ThermalFrame], ...] = (self._rgb(ends), self._thermal(ends))
        for frame in heapq.merge(*streams, key=lambda frame: frame.stamp_ns):
            for shorter, end_ns in ends.items():
                if frame.stamp_ns > end_ns + period_ns / 2:
                    longer = self.thermal if isinstance(frame, ThermalFrame) else self.visible
                    seconds = (end_ns - FIRST_STAMP_NS) / SECOND_NS
                    self.report(f"{shorter}: ends at {seconds:.2f} s; the rest of {longer} is left out")
                    return
            yield Arrival(frame.stamp_ns, frame)

    def _rgb(self, ends: dict[Path, int]) -> Iterator[RgbFrame]:
        for stamp, image in _decode(self.visible, self.rgb_fps, ends):
            yield RgbFrame(stamp, _converted(image, cv2.COLOR_BGR2RGB), RGB_FRAME_ID)

    def _thermal(self, ends: dict[Path, int]) -> Iterator[ThermalFrame]:
        for stamp, image in _decode(self.thermal, self.thermal_fps, ends, counts=True):
            grey = image if image.ndim == 2 else _converted(image, cv2.COLOR_BGR2GRAY)
            yield ThermalFrame(stamp, grey, thermal_kind(grey), THERMAL_FRAME_ID)


def _converted(image: np.ndarray, code: int) -> NDArray[np.uint8]:
    converted: NDArray[Any] = cv2.cvtColor(image, code)
    return converted


def _stamp(index: int, fps: float) -> int:
    return FIRST_STAMP_NS + round(index * SECOND_NS / fps)


def _files(folder: Path, suffixes: frozenset[str]) -> dict[str, list[Path]]:
    """By name without suffix: `a.mp4` and `a.avi` are both `a`."""
    files = (
        path for path in folder.iterdir() if path.suffix.lower() in suffixes and not path.name.startswith(".")
    )
    found: defaultdict[str, list[Path]] = defaultdict(list)
    for path in sorted(files, key=lambda path: natural_key(path.name)):
        found[path.stem].append(path)
    return dict(found)


def _only(name: str, videos: list[Path]) -> Path:
    """Of two videos of one name nobody knows which is the partner of the other folder's."""
    if len(videos) > 1:
        files = " and ".join(path.name for path in videos)
        raise InputError(f"{videos[0].parent}: has the video {name} twice: {files}; keep one")
    return videos[0]


def _choose_videos(
    visible: dict[str, list[Path]], thermal: dict[str, list[Path]], clip: str
) -> tuple[Path, Path]:
    if clip:
        if clip not in visible or clip not in thermal:
            both = [name for name in visible if name in thermal]
            raise InputError(
                f"--clip {clip}: not a video of both folders; there are: {', '.join(both) or 'none'}"
            )
        return _only(clip, visible[clip]), _only(clip, thermal[clip])
    if len(visible) == len(thermal) == 1:
        (ours,), (theirs,) = visible.items(), thermal.items()
        return _only(*ours), _only(*theirs)
    both = [name for name in visible if name in thermal]
    folder = next(iter(visible.values()))[0].parent
    if not both:
        raise InputError(f"{folder}: no video has a partner of the same name in the other folder")
    raise InputError(f"{folder}: holds {len(visible)} videos; choose one with --clip: {', '.join(both)}")


def _probe(path: Path) -> tuple[float, int]:
    capture = cv2.VideoCapture(str(path))
    try:
        if not capture.isOpened():
            raise InputError(f"{path}: not a readable video")
        fps = capture.get(cv2.CAP_PROP_FPS)
        count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        return (fps if 0 < fps < 1000 else DEFAULT_FPS), max(count, 0)
    finally:
        capture.release()


def _decode(
    path: Path, fps: float, ends: dict[Path, int], *, counts: bool = False
) -> Iterator[tuple[int, np.ndarray]]:
    """Stamps and H×W×3 BGR images; with `counts` 16-bit grey ones as they are, H×W.

    Notes the last stamp in `ends`. Raises `InputError` without a frame.
    """
    capture = cv2.VideoCapture(str(path))
    if counts and capture.get(cv2.CAP_PROP_CODEC_PIXEL_FORMAT) == GRAY16:
        capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)  # which would keep the upper 8 bits: one even grey
    try:
        for index in itertools.count():
            ok, image = capture.read()
            if not ok:
                break
            yield _stamp(index, fps), image
    finally:
        capture.release()
    if index == 0:
        raise InputError(f"{path}: no frame can be decoded")
    ends[path] = _stamp(index - 1, fps)
