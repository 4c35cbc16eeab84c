"""What the pipeline does after the engine: from what the network says about depth to metres, or to why there are none.

The network predicts depth in units of camera height times f / width (see :mod:`thermal_fusion_ros.models.depth`). With
a known lens that becomes camera heights, so a scale near the mounting height is what to expect.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from thermal_fusion_ros.config import DepthConfig
from thermal_fusion_ros.detections import Detection
from thermal_fusion_ros.frames import Perception
from thermal_fusion_ros.geometry.depth_filter import DepthFilter, metres
from thermal_fusion_ros.geometry.motion_stereo import MotionStereo
from thermal_fusion_ros.geometry.mounting import parse_tilt, plausible, tilt_of
from thermal_fusion_ros.geometry.object_depth import brought_nearer
from thermal_fusion_ros.geometry.poses import Matrix
from thermal_fusion_ros.geometry.scale import MetricScale, ScaleTracker
from thermal_fusion_ros.geometry.scale_readings import Reading
from thermal_fusion_ros.sensing.camera import CameraModel, Floats
from thermal_fusion_ros.sensing.rig import Rig

F32 = NDArray[np.float32]

UNUSED = "not used"  # begins what is told of odometry where it is of no use
RANGE_LASTS_NS = 1_000_000_000
NOMINAL_SIGMA = 0.2  # of log scale, where only the network's own idea of the ground tells


class DepthStage:
    """Depth of one stream of frames. Used by one thread at a time."""

    def __init__(self, config: DepthConfig, *, own: bool = True, metric: bool = False) -> None:
        """`own`: the network is a DepthNet, whose unit is known; `metric`: another one, that claims metres."""
        self.config = config
        self._own, self._metric = own, metric
        self._filter = DepthFilter(config)
        self._tracker = ScaleTracker(config, in_heights=own)
        self._motion = MotionStereo()
        self._camera: CameraModel | None = None  # calibrated
        self._assumed: CameraModel | None = None  # of the picture's size and the given angle of view
        self._rig: Rig | None = None
        self._range_points: NDArray[np.float32] | None = None
        self._range_stamp_ns = 0
        self._whole: F32 | None = None
        self._registered = ""  # how thermal was laid over the last picture
        self._told: Floats | None = None  # down, by TF
        self._down: Floats | None = None
        self._settle_mounting()

    def update(self, config: DepthConfig) -> None:
        """Apply live parameters."""
        mounted = self.config.camera_tilt
        self.config = self._filter.config = config
        self._tracker.configure(config)
        if config.camera_tilt != mounted:
            self._settle_mounting()

    def reset(self) -> None:
        """Forget earlier frames: a new recording, or the clock jumped."""
        self._filter.reset()
        self._tracker.reset()
        self._motion.reset()
        self._range_points = self._whole = None

    def set_cameras(self, camera: CameraModel | None, rig: Rig | None) -> None:
        """Calibration that has arrived or changed; `rig` only where thermal pictures are not registered already."""
        if camera is not self._camera or rig is not self._rig:
            self._camera, self._assumed, self._rig = camera, None, rig
            self._tracker.set_cameras(camera, rig)
            self._whole = None

    def set_down(self, down: Floats | None) -> None:
        """Down (3,) in the optical frame of the RGB camera by TF; `depth.camera_tilt` goes before it."""
        self._told = down
        self._settle_mounting()

    def _settle_mounting(self) -> None:
        given = parse_tilt(self.config.camera_tilt)
        told = self._told if self._told is not None and plausible(self._told) else None
        self._down = told if given is None else given
        self._tracker.set_down(self._down)

    @property
    def mounting(self) -> str:
        """How the camera is mounted and who says so, for diagnostics."""
        if self._down is None and self._told is not None:
            return "by TF the camera looks straight up or down, or lies on its side: is its frame an optical one?"
        if self._down is None:
            return "unknown: set depth.camera_tilt, or publish the camera's pose below depth.base_frame"
        roll, pitch = tilt_of(self._down)
        return f"roll {roll:.1f}°, pitch {pitch:.1f}° by {'depth.camera_tilt' if self.config.camera_tilt else 'TF'}"

    def set_range_points(self, points: NDArray[np.float32], stamp_ns: int = 0) -> None:
        """N×3 metres in the RGB optical frame, for the next frame, unless that is much newer (0: nobody knows)."""
        self._range_points, self._range_stamp_ns = points, stamp_ns

    @property
    def last_metres(self) -> F32 | None:
        """Depth of the last frame, h×w metres, all of it however unsure; None without a scale. For registration."""
        return self._whole

    def __call__(
        self,
        perception: Perception,
        depth: F32,
        sigma: F32,
        luma: NDArray[np.uint8] | None,
        thermal: NDArray[np.uint8] | None,
        objects: Sequence[Detection] = (),
        world_from_camera: Matrix | None = None,
        registered: str = "",
    ) -> None:
        """Fill the depth fields of `perception`.

        `depth`, `sigma` h×w as the network gives them; `luma` H×W and `thermal` H'×W' are the cameras' own pictures,
        not registered, and needed for parallax alone; thermal None where it is of another moment. `objects`: what was
        found in the RGB picture; their heights are a source of scale. `world_from_camera`: where that was taken, if
        earlier pictures may be asked. `registered`: the level by which thermal was laid over it.
        """
        height, width = perception.fused.shape[:2]
        self._heed_registration(registered)
        self._whole = None
        camera = self.camera_for(width, height)
        if camera is not None and camera.size != (width, height):
            perception.relative_depth, perception.depth_sigma = depth, sigma
            told = f"{camera.width}x{camera.height}"
            perception.depth_refused = f"the RGB camera is calibrated for {told}, not for {width}x{height}"
            return
        relative = depth
        if camera is not None and self._own:
            relative = depth * np.float32(camera.k[0, 0] / width)
        relative = self._filter(relative, sigma, perception.fused)
        parallax = self._rig is not None and self.config.rig_parallax and thermal is not None
        if self._range_stamp_ns and perception.stamp_ns - self._range_stamp_ns > RANGE_LASTS_NS:
            self._range_points = None  # measured where the robot was
        looked: Reading | str | None = None
        why_not = self._why_not_back(perception, camera, world_from_camera)
        asked = self.config.odometry_frame and not why_not
        if asked and camera is not None and world_from_camera is not None:
            looked = self._motion.look(
                relative,
                sigma,
                perception.fused,
                camera,
                world_from_camera,
                perception.stamp_ns,
                self._tracker.last,
            )
        scale = self._tracker.update(
            perception.stamp_ns,
            relative,
            sigma,
            gray=luma if parallax else None,
            thermal=thermal if parallax else None,
            objects=objects,
            range_points=None if self._range_points is None else self._range_points.astype(np.float64),
            odometry=why_not if looked is None else looked,
        )
        self._range_points = None
        scale = self._or_nominal(scale, camera)
        perception.relative_depth, perception.depth_sigma = relative, sigma
        perception.scale, perception.scale_state = scale, scale.to_dict() | {"mounting": self.mounting}
        if self.config.odometry_frame:
            perception.scale_state["motion"] = f"{UNUSED}: {why_not}" if why_not else self._motion.state
        if scale.scale is None:
            perception.depth_refused = scale.reason
            return
        if looked is not None:
            boxes = [found.box for found in objects]
            relative, sigma = self._motion.refine(relative, sigma, scale.scale, boxes)
        if self.config.object_heights and camera is not None:
            relative, sigma = brought_nearer(relative, sigma, scale.scale, objects, camera)
        perception.relative_depth, perception.depth_sigma = relative, sigma
        self._whole = relative * np.float32(scale.scale)
        perception.depth = metres(relative, sigma, scale.scale, height, width, self.config)

    def _heed_registration(self, level: str) -> None:
        """Thermal lies elsewhere on pictures that it was laid over by other means: they can't be compared."""
        if level != self._registered:
            self._registered = level
            self._motion.reset()

    def _why_not_back(
        self, perception: Perception, camera: CameraModel | None, world_from_camera: Matrix | None
    ) -> str:
        """Why this picture can't be compared with earlier ones; empty where it can."""
        if world_from_camera is None:
            return f"TF does not say where the camera was in {self.config.odometry_frame!r}"
        if camera is None:
            return "the RGB camera's calibration is not known"
        if perception.frozen:
            return "the thermal picture is of another moment"
        return ""

    def camera_for(self, width: int, height: int) -> CameraModel | None:
        """What pictures of this size are taken with, as far as that is known."""
        return self._camera or self._assumed_for(width, height)

    def _assumed_for(self, width: int, height: int) -> CameraModel | None:
        """Pictures of a folder come in many sizes: each has its own lens of the given angle of view."""
        if self.config.horizontal_fov_deg <= 0:
            return None
        if self._assumed is None or self._assumed.size != (width, height):
            self._assumed = pinhole(width, height, self.config.horizontal_fov_deg)
            self._tracker.set_cameras(self._assumed)
        return self._assumed

    def _or_nominal(self, scale: MetricScale, camera: CameraModel | None) -> MetricScale:
        """Without another scale: the network's own unit and the mounting height, or the metres that it claims."""
        if scale.scale is not None or not scale.consistent:
            return scale
        if self._metric:
            nominal, source = 1.0, "the metres that depth.model claims"
        elif self._own and camera is not None and self.config.camera_height_m > 0:
            nominal, source = (
                self.config.camera_height_m,
                "depth.camera_height_m and the network's own ground",
            )
        else:
            return scale
        return dataclasses.replace(
            scale, scale=nominal, sigma=NOMINAL_SIGMA, reason=f"{source}; {scale.reason}"
        )


def pinhole(width: int, height: int, horizontal_fov_deg: float) -> CameraModel:
    """A lens without distortion that is only known by its angle of view."""
    focal = 0.5 * width / np.tan(np.radians(horizontal_fov_deg) / 2)
    k = np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])
    return CameraModel(width, height, k, name="rgb")
