"""Pictures to judge a calibration by eye."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from thermal_fusion_ros.calibration.board import Board
from thermal_fusion_ros.calibration.detection import Detection, normalised
from thermal_fusion_ros.sensing.camera import CameraModel, Floats
from thermal_fusion_ros.sensing.rig import Rig

Picture = NDArray[np.uint8]
SEEN, PROJECTED, BAD = (60, 220, 60), (235, 70, 70), (250, 210, 40)  # RGB
ERROR_SCALE = 30  # error lines are drawn this many times longer
NORMALISATION_PX = 16.0


def view_picture(
    board: Board,
    image: NDArray[Any],
    camera: CameraModel,
    detection: Detection | None,
    pose: Floats | None,
    caption: str,
) -> Picture:
    """Seen points (green circles), where the calibration puts them (red dots), errors 30 times enlarged (yellow)."""
    canvas = _as_colour(image)
    thickness = max(1, canvas.shape[1] // 640)
    if detection is not None:
        projected = None
        if pose is not None:
            points = board.points[detection.ids] @ pose[:3, :3].T + pose[:3, 3]
            projected = camera.project(points)
        for i, pixel in enumerate(detection.pixels):
            cv2.circle(canvas, _whole(pixel), 5 * thickness, SEEN, thickness, cv2.LINE_AA)
            if projected is not None and np.isfinite(projected[i]).all():
                tip = pixel + ERROR_SCALE * (projected[i] - pixel)
                cv2.line(canvas, _whole(pixel), _whole(tip), BAD, thickness, cv2.LINE_AA)
                cv2.circle(canvas, _whole(projected[i]), thickness, PROJECTED, -1, cv2.LINE_AA)
    write(canvas, caption)
    return canvas


def board_blend(rig: Rig, rgb: Picture, thermal: NDArray[Any], rgb_from_board: Floats) -> Picture:
    """The thermal picture warped into the RGB one through the plane of the board, edges in red.

    On the board, both patterns must coincide; elsewhere they need not.
    """
    normal = rgb_from_board[:3, 2]
    rays = rig.rgb.unproject(rig.rgb.pixel_grid())
    depth = float(normal @ rgb_from_board[:3, 3]) / (rays @ normal)
    pixels = rig.thermal.project((rays * depth[:, None]) @ rig.rotation.T + rig.translation)
    pixels = np.nan_to_num(pixels, nan=-1e4).reshape(rig.rgb.height, rig.rgb.width, 2).astype(np.float32)
    flat = normalised(thermal, NORMALISATION_PX)
    warped = cv2.remap(flat, pixels[..., 0], pixels[..., 1], cv2.INTER_LINEAR)
    gray = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    blend = np.stack([warped, gray, gray], axis=-1).astype(np.uint8, copy=False)
    write(blend, "thermal (red) through the plane of the board over RGB (cyan)")
    return blend


def side_by_side(*pictures: Picture) -> Picture:
    """Pictures in a row, scaled to the height of the first."""
    height = pictures[0].shape[0]
    scaled = [cv2.resize(p, (round(p.shape[1] * height / p.shape[0]), height)) for p in pictures]
    return np.hstack(scaled).astype(np.uint8, copy=False)


def write(canvas: Picture, text: str) -> None:
    """White text on a dark band at the top."""
    scale = canvas.shape[1] / 1280
    band = round(34 * scale)
    canvas[:band] //= 3
    size, weight = 0.8 * scale, max(1, round(2 * scale))
    at = (round(8 * scale), round(25 * scale))
    cv2.putText(canvas, text, at, cv2.FONT_HERSHEY_SIMPLEX, size, (255, 255, 255), weight, cv2.LINE_AA)


def _as_colour(image: NDArray[Any]) -> Picture:
    if image.ndim == 3:
        return image.astype(np.uint8, copy=True)
    return np.ascontiguousarray(np.repeat(normalised(image, NORMALISATION_PX)[..., None], 3, axis=2))


def _whole(pixel: NDArray[Any]) -> tuple[int, int]:
    return round(float(pixel[0])), round(float(pixel[1]))
