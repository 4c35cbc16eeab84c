"""The numbers of `thermal-fusion bench` as a picture: bars per backend, and time over pixels where there are sizes.

Drawn with OpenCV, which is there anyway.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from thermal_fusion_ros.evaluation.latency import FRAME_AT_30_HZ

Picture = NDArray[np.uint8]

WIDTH, ROW, LEFT, RIGHT, TOP, BOTTOM = 960, 26, 190, 70, 46, 40  # pixels
CURVES = 360  # height of the panel over pixels
INK, PALE = (40, 40, 40), (215, 215, 215)
COLOURS = ((0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 121, 167))  # colour-blind safe (Wong, 2011)
_FONT, _SIZE = cv2.FONT_HERSHEY_SIMPLEX, 0.42


def plot(result: Mapping[str, Any]) -> Picture:
    """RGB picture of what :func:`thermal_fusion_ros.evaluation.benchmark.run` found, its `sizes` below if there are."""
    panels = [_bars(result)]
    if result.get("sizes"):
        panels.append(_curves(result["sizes"]))
    return np.vstack(panels)


def _bars(result: Mapping[str, Any]) -> Picture:
    """Engine and whole frame per backend: the bar ends at the median, its thin continuation at the p99."""
    backends = result["backends"]
    picture = _blank(TOP + BOTTOM + max(2 * len(backends), 1) * ROW)
    longest = max((max(b["engine_ms"]["p99"], b["frame_ms"]["p99"]) for b in backends.values()), default=1.0)
    scale = (WIDTH - LEFT - RIGHT) / longest
    machine = ", ".join(
        str(value) for key, value in result["machine"].items() if key in ("cpu", "cores", "gpu")
    )
    _write(picture, f"{result['width']}x{result['height']}, ms ({machine})", 12, 26)
    bottom = picture.shape[0] - BOTTOM
    for tick in _ticks(longest):
        _grid(picture, LEFT + round(tick * scale), TOP - 6, bottom, f"{tick:g}")
    if longest > FRAME_AT_30_HZ:
        x = LEFT + round(FRAME_AT_30_HZ * scale)
        cv2.line(picture, (x, TOP - 6), (x, bottom), (200, 0, 0), 1, cv2.LINE_AA)
        _write(picture, "30 Hz", x + 4, bottom + 32)
    for row, (name, backend) in enumerate(backends.items()):
        for part, (key, colour) in enumerate((("engine_ms", COLOURS[0]), ("frame_ms", COLOURS[1]))):
            y = TOP + (2 * row + part) * ROW
            median, p99 = (LEFT + round(backend[key][which] * scale) for which in ("median", "p99"))
            cv2.rectangle(picture, (LEFT, y), (median, y + ROW - 8), colour, -1)
            middle = y + (ROW - 8) // 2
            cv2.line(picture, (median, middle), (p99, middle), colour, 2)
            _write(picture, f"{name}, {key.partition('_')[0]}", 12, y + 14)
            _write(picture, f"{backend[key]['median']:.1f}", p99 + 6, y + 14)
    return picture


def _curves(sizes: list[dict[str, Any]]) -> Picture:
    """Median engine time of each backend over megapixels."""
    picture = _blank(CURVES)
    found: dict[str, list[tuple[float, float]]] = {}
    for size in sizes:
        for name, backend in size["backends"].items():
            point = (size["width"] * size["height"] / 1e6, backend["engine_ms"]["median"])
            found.setdefault(name, []).append(point)
    points = [point for line in found.values() for point in line]
    if not points:
        return picture
    most_x, most_y = (max(point[axis] for point in points) for axis in (0, 1))
    bottom, wide = CURVES - BOTTOM, WIDTH - LEFT - RIGHT

    def at(x: float, y: float) -> tuple[int, int]:
        return LEFT + round(x / most_x * wide), bottom - round(y / most_y * (bottom - TOP))

    _write(picture, "engine, ms over megapixels", 12, 26)
    for tick in _ticks(most_x):
        _grid(picture, at(tick, 0)[0], TOP, bottom, f"{tick:g}")
    for tick in _ticks(most_y):
        _write(picture, f"{tick:g}", LEFT - 44, at(0, tick)[1] + 4)
        cv2.line(picture, at(0, tick), at(most_x, tick), PALE, 1)
    for index, (name, line) in enumerate(found.items()):
        colour = COLOURS[index % len(COLOURS)]
        pixels = [at(*point) for point in sorted(line)]
        for begin, end in pairwise(pixels):
            cv2.line(picture, begin, end, colour, 2, cv2.LINE_AA)
        for pixel in pixels:
            cv2.circle(picture, pixel, 3, colour, -1, cv2.LINE_AA)
        _write(picture, name, LEFT + 8, TOP + 14 + 18 * index, colour)
    return picture


def _blank(height: int) -> Picture:
    return np.full((height, WIDTH, 3), 255, np.uint8)


def _ticks(longest: float) -> list[float]:
    """Three to eight round numbers from 0 up to `longest`."""
    step = 10.0 ** np.floor(np.log10(longest))
    while longest / step < 3:
        step /= 2
    while longest / step > 8:
        step *= 2
    return [float(n * step) for n in range(int(longest / step) + 1)]


def _grid(picture: Picture, x: int, top: int, bottom: int, label: str) -> None:
    cv2.line(picture, (x, top), (x, bottom), PALE, 1)
    _write(picture, label, x - 8, bottom + 16)


def _write(picture: Picture, text: str, x: int, y: int, colour: tuple[int, int, int] = INK) -> None:
    cv2.putText(picture, text, (x, y), _FONT, _SIZE, colour, 1, cv2.LINE_AA)
