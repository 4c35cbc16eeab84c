"""Finding boards in either spectrum.

A visible board is black on white. A thermal one shows paint against paper by emissivity under a lamp: faint, often
inverted, under a heat gradient many times stronger. Logarithm and local mean/deviation normalisation remove the
gradient; the window that works depends on the size of the squares, so several are tried, the board is found in one
and then measured again with a window and magnification matched to its squares.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from thermal_fusion_ros.calibration.board import Board

WINDOWS_PX = (8.0, 16.0, 24.0, 4.0)  # σ of the local normalisation, the most often right first
FINE_WINDOWS_PER_PITCH = (0.2, 0.25, 0.33)  # best σ as a share of the distance between points
FINE_PITCH_PX = 70.0  # magnify until points are this far apart: measures corners better than native size
LARGEST_MAGNIFICATION = 4
CLIP_DEVIATIONS = 2.5
MOST_BLOBS = 4  # times the circles of the board: in a busier picture the grid search would take minutes


@dataclass(frozen=True)
class Detection:
    """Points of a board in a picture: `pixels` N×2 float32 and their numbers `ids` (N,) on the board."""

    pixels: NDArray[np.float32]
    ids: NDArray[np.int64]
    size: tuple[int, int]  # (width, height) of the picture

    def renumbered(self, order: NDArray[np.int64]) -> Detection:
        """The same points under a symmetry of the board: point i was called i and is now order[i]."""
        numbers = order[self.ids]
        rank = np.argsort(numbers)
        return Detection(self.pixels[rank], numbers[rank], self.size)

    @property
    def pitch_px(self) -> float:
        """Median distance of a point to its nearest neighbour."""
        distance = np.linalg.norm(self.pixels[:, None] - self.pixels[None], axis=2)
        np.fill_diagonal(distance, np.inf)
        return float(np.median(distance.min(axis=1)))


def find_board(
    board: Board, image: NDArray[np.uint8] | NDArray[np.uint16], *, thermal: bool
) -> Detection | None:
    """The board in `image` (H×W or H×W×3, 8 or 16 bit), or None."""
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) if image.ndim == 3 else image
    for candidate, magnification in _candidates(gray, thermal):
        for picture in _polarities(board, candidate):
            found = _find(board, picture, magnification)
            if found is None:
                continue
            detection = Detection(*found, size=(gray.shape[1], gray.shape[0]))
            if _plausible(detection):
                return _measured_again(board, gray, detection, thermal)
    return None


def normalised(gray: NDArray[np.uint8] | NDArray[np.uint16], window_px: float) -> NDArray[np.uint8]:
    """Contrast relative to the surroundings: (x - local mean) / local deviation of log counts, as uint8."""
    x = np.log1p(gray.astype(np.float32))
    x -= cv2.GaussianBlur(x, (0, 0), window_px)
    deviation = np.sqrt(cv2.GaussianBlur(x * x, (0, 0), window_px)) + 1e-3
    scaled = np.clip(x / deviation, -CLIP_DEVIATIONS, CLIP_DEVIATIONS) + CLIP_DEVIATIONS
    return (scaled * (255 / (2 * CLIP_DEVIATIONS))).astype(np.uint8)


def stretched(gray: NDArray[np.uint8] | NDArray[np.uint16]) -> NDArray[np.uint8]:
    """The middle 98 % of the values spread over 8 bits."""
    low, high = np.percentile(gray, (1, 99))
    return (np.clip((gray - low) / max(high - low, 1e-6), 0, 1) * 255).astype(np.uint8)


def magnified(image: NDArray[np.uint8], factor: float) -> NDArray[np.uint8]:
    """`image` resized; pixel areas are kept."""
    if factor == 1:
        return image
    interpolation = cv2.INTER_CUBIC if factor > 1 else cv2.INTER_AREA
    return cv2.resize(image, None, fx=factor, fy=factor, interpolation=interpolation).astype(
        np.uint8, copy=False
    )


def _candidates(gray: NDArray, thermal: bool) -> Iterator[tuple[NDArray[np.uint8], float]]:
    """(picture, magnification), the cheapest and likeliest first."""
    plain = gray if gray.dtype == np.uint8 else stretched(gray)
    if not thermal:
        yield plain, 1
        yield plain, 0.5
        yield normalised(gray, 16.0), 1
        return
    for magnification in (1, 2):
        for window in WINDOWS_PX:
            yield magnified(normalised(gray, window), magnification), magnification
    yield plain, 1


def _polarities(board: Board, picture: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    """The picture and its negative; the checkerboard detector takes either."""
    yield picture
    if board.kind != "checkerboard":
        yield 255 - picture


def _measured_again(board: Board, gray: NDArray, coarse: Detection, thermal: bool) -> Detection:
    """The same board with window and magnification fitted to its squares; `coarse` where that finds nothing."""
    if board.kind in ("circles", "acircles"):
        return replace(coarse, pixels=_disc_centres(gray, coarse.pixels, coarse.pitch_px))
    factor = int(np.clip(np.ceil(FINE_PITCH_PX / coarse.pitch_px), 1, LARGEST_MAGNIFICATION))
    shares = FINE_WINDOWS_PER_PITCH if thermal or gray.dtype != np.uint8 else (0.0,)
    best, window = coarse, _window_around(coarse)
    flats = [normalised(gray, max(2.0, coarse.pitch_px * s)) if s else gray for s in shares]
    while best is coarse and factor >= 1:  # the detector misses a board now and then: another size finds it
        for flat in flats:
            for picture in _polarities(board, magnified(flat[window], factor)):
                found = _find(board, picture, factor)
                if found is None:
                    continue
                corner = np.array([window[1].start, window[0].start], np.float32)
                fine = Detection(found[0] + corner, found[1], size=coarse.size)
                whole = len(fine.ids) >= len(best.ids) and _plausible(fine)
                if whole and _bend(board, fine) < _bend(board, best):
                    best = fine
        factor -= 1
    return best


def _window_around(detection: Detection) -> tuple[slice, slice]:
    """The part of the picture that holds the board and two squares round it: magnifying all would be slow."""
    margin = 2 * detection.pitch_px
    low = np.maximum(detection.pixels.min(axis=0) - margin, 0).astype(int)
    high = (detection.pixels.max(axis=0) + margin).astype(int) + 1
    return slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0]))


def _bend(board: Board, detection: Detection) -> float:
    """How far (RMS, pixels) the points are from a flat board seen without distortion: ranks measurements."""
    flat = board.points[detection.ids, :2].astype(np.float32)
    homography, _ = cv2.findHomography(flat, detection.pixels)
    if not np.size(homography):  # None where the points are on a line
        return np.inf
    straight = cv2.perspectiveTransform(flat[:, None], homography)[:, 0]
    return float(np.sqrt(((straight - detection.pixels) ** 2).sum(axis=1).mean()))


def _find(
    board: Board, image: NDArray[np.uint8], magnification: float
) -> tuple[NDArray[np.float32], NDArray[np.int64]] | None:
    """Pixels (in the coordinates of the picture before magnification) and ids."""
    size = (board.columns, board.rows)
    ids = np.arange(board.columns * board.rows)
    if board.kind == "checkerboard":
        flags = cv2.CALIB_CB_NORMALIZE_IMAGE | cv2.CALIB_CB_EXHAUSTIVE | cv2.CALIB_CB_ACCURACY
        ok, pixels = cv2.findChessboardCornersSB(image, size, flags=flags)
    elif board.kind == "charuco":
        detector = cv2.aruco.CharucoDetector(board.charuco)
        pixels, numbers, _, _ = detector.detectBoard(image)
        ok = pixels is not None and numbers is not None and len(numbers) >= board.fewest_points
        ids = np.asarray(numbers, dtype=np.int64).ravel() if ok else ids
    else:
        ok, pixels = _find_circles(board, image)
    if not ok:
        return None
    pixels = (np.asarray(pixels, dtype=np.float64).reshape(-1, 2) + 0.5) / magnification - 0.5
    return pixels.astype(np.float32), ids


def _find_circles(board: Board, image: NDArray[np.uint8]) -> tuple[bool, NDArray[np.float32]]:
    """Dark discs on bright ground (the caller also tries the negative)."""
    image = cv2.GaussianBlur(image, (0, 0), 1.5).astype(np.uint8, copy=False)
    parameters = cv2.SimpleBlobDetector.Params()
    parameters.minArea = 20.0
    parameters.maxArea = image.size / (2.0 * board.columns * board.rows)
    parameters.minDistBetweenBlobs = 4.0
    parameters.minConvexity = 0.85
    parameters.filterByInertia = False  # tilted discs are ellipses
    detector = cv2.SimpleBlobDetector.create(parameters)
    circles = board.columns * board.rows
    if not circles <= len(detector.detect(image)) <= MOST_BLOBS * circles:
        return False, np.zeros((0, 2), np.float32)
    layout = cv2.CALIB_CB_ASYMMETRIC_GRID if board.kind == "acircles" else cv2.CALIB_CB_SYMMETRIC_GRID
    size = (board.columns, board.rows)
    for flags in (layout, layout | cv2.CALIB_CB_CLUSTERING):
        ok, pixels = cv2.findCirclesGrid(image, size, flags=flags, blobDetector=detector)
        if ok:
            return True, pixels.astype(np.float32)
    return False, np.zeros((0, 2), np.float32)


def _disc_centres(gray: NDArray, pixels: NDArray[np.float32], pitch: float) -> NDArray[np.float32]:
    """Centroids of the contrast of each disc against a plane through the paper round it: no threshold, no bias."""
    reach = max(3, round(0.5 * pitch))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float64)
    values = cv2.copyMakeBorder(np.log1p(gray.astype(np.float32)), *(reach + 1,) * 4, cv2.BORDER_REPLICATE)
    centres = pixels.astype(np.float64)
    for centre in centres:  # a view: moved in place
        for _ in range(3):  # the window follows the centre
            patch = cv2.getRectSubPix(values, (2 * reach + 1,) * 2, tuple(centre + reach + 1)).astype(
                np.float64
            )
            radius = np.hypot(x, y)
            ring, disc = (radius > 0.43 * pitch) & (radius <= 0.5 * pitch), radius < 0.45 * pitch
            columns = np.stack([np.ones_like(x), x, y], axis=-1)
            paper = columns @ np.linalg.lstsq(columns[ring], patch[ring], rcond=None)[0]
            contrast = (patch - paper)[disc]
            weight = np.maximum(contrast * np.sign(contrast.sum()), 0)
            step = np.array([(weight * x[disc]).sum(), (weight * y[disc]).sum()]) / max(weight.sum(), 1e-9)
            centre += np.clip(step, -1, 1)  # noqa: PLW2901
            if np.abs(step).max() < 0.01:
                break
    return centres.astype(np.float32)


def _plausible(detection: Detection) -> bool:
    """Whether every point lies in the picture (detectors extrapolate boards that are cut off)."""
    width, height = detection.size
    inside = (detection.pixels >= 0).all() and (detection.pixels <= (width - 1, height - 1)).all()
    return bool(inside) and detection.pitch_px > 2
