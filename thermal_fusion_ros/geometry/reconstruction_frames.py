"""Depth pictures to reconstruct from: as a recording holds them, or as the pipeline perceives them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from thermal_fusion_ros.bags.pairs import paired
from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.frames import FramePair
from thermal_fusion_ros.geometry.poses import PoseOf
from thermal_fusion_ros.geometry.reconstruction_bag import Picture, PosedBag, depth_from_message
from thermal_fusion_ros.sensing.camera import CameraModel
from thermal_fusion_ros.sensing.pairing import Pair, Stream, make_pairer

if TYPE_CHECKING:
    from thermal_fusion_ros.bags.source import Source
    from thermal_fusion_ros.config import Config
    from thermal_fusion_ros.pipeline import Pipeline

DEPTH_ENDINGS = (
    "depth/image_raw",
    "aligned_depth_to_color/image_raw",
    "depth/image_rect",
    "depth/image_rect_raw",
    "depth/image",
    "depth_registered/image_rect",
    "ground_truth/rgb/depth",
)
MOST_WAITING = 200  # depth pictures kept until their partners have come
WAIT_NS = 2_000_000_000
NO_SCALE = (
    "no depth in metres: give --camera-height, --rig, the frame in which TF moves the robot (--set "
    "depth.odometry_frame=odom), or a recording with a depth topic (--depth-topic)"
)
UNPAIRED = "colour pictures without a thermal partner; see sync.tolerance_s and sync.thermal_offset_s"


class Skip(NamedTuple):
    """A frame that was not used; `reason` is one word for counters."""

    reason: str
    text: str = ""


@dataclass(frozen=True)
class DepthFrame:
    """Depth, H×W float32 metres along the optical axis of `camera`, NaN where invalid; as its lens saw it.

    `colour` H×W×3 uint8 or `temperature_k` H×W float32 (NaN where not measured) lie on it pixel by pixel; both None is
    shape alone.
    """

    stamp_ns: int
    frame_id: str
    camera: CameraModel
    depth: NDArray[np.float32]
    colour: NDArray[np.uint8] | None = None
    temperature_k: NDArray[np.float32] | None = None


class Painted(NamedTuple):
    """What a painter made for a depth frame; see :class:`DepthFrame`."""

    colour: NDArray[np.uint8] | None = None
    temperature_k: NDArray[np.float32] | None = None


class Painter(Protocol):
    """Lays the pictures of other topics on a depth picture."""

    @property
    def topics(self) -> Mapping[str, int]:
        """What it needs, and how much later than depth each is stamped, ns."""

    def __call__(self, frame: DepthFrame, pictures: Mapping[str, Picture]) -> Painted | Skip:
        """`pictures` by topic, taken when `frame` was. InputError when nothing of this recording can be used."""


class RecordedFrames:
    """The depth topic of a bag with what lies nearest to it in time on other topics; played once."""

    def __init__(
        self, bag: PosedBag, depth_topic: str, painter: Painter, tolerance_s: float, every: int = 1
    ) -> None:
        self.bag, self.depth_topic, self.painter, self.every = bag, depth_topic, painter, every
        self.tolerance_ns = round(tolerance_s * 1e9)
        self.count: int | None = bag.counts[depth_topic]
        self.problems = bag.problems
        self._cameras: dict[tuple[str, tuple[int, int]], CameraModel] = {}
        self._recent: dict[str, deque[Picture]] = {topic: deque() for topic in painter.topics}

    def __iter__(self) -> Iterator[DepthFrame | Skip]:
        waiting: deque[Picture] = deque()
        seen = 0
        for picture in self.bag.pictures([self.depth_topic, *self.painter.topics]):
            # One topic may serve twice: a depth picture is never its own partner.
            if picture.topic in self._recent:
                self._recent[picture.topic].append(picture)
            else:
                seen += 1
                if (seen - 1) % self.every:
                    yield Skip("every")
                    continue
                waiting.append(picture)
            while waiting and self._decided(waiting, waiting[-1].stamp_ns):
                yield self._frame(waiting.popleft())
        for picture in waiting:
            yield self._frame(picture)

    def _decided(self, waiting: Sequence[Picture], newest_ns: int) -> bool:
        """Whether nothing nearer to the first of `waiting` can still come."""
        stamp = waiting[0].stamp_ns
        if len(waiting) > MOST_WAITING or newest_ns - stamp > WAIT_NS:
            return True
        return all(
            pictures and pictures[-1].stamp_ns - self.painter.topics[topic] >= stamp
            for topic, pictures in self._recent.items()
        )

    def _frame(self, picture: Picture) -> DepthFrame | Skip:
        try:
            depth = depth_from_message(picture.message)
        except InputError as error:
            return Skip("undecodable", f"{picture.topic}: {error}")
        if not np.isfinite(depth).any():
            return Skip("no_depth", f"{picture.topic}: a picture without one valid pixel")
        partners: dict[str, Picture] = {}
        for topic, late_ns in self.painter.topics.items():
            partner = self._nearest(topic, picture.stamp_ns, late_ns)
            if partner is None:
                return Skip(
                    "no_partner",
                    f"nothing on {topic} within {self.tolerance_ns / 1e9:g} s (sync.tolerance_s) of a depth picture",
                )
            partners[topic] = partner
        camera = self._camera(picture, (depth.shape[1], depth.shape[0]))
        frame_id = picture.frame_id or camera.frame_id
        bare = DepthFrame(picture.stamp_ns, frame_id, camera, depth)
        painted = self.painter(bare, partners)
        if isinstance(painted, Skip):
            return painted
        return DepthFrame(picture.stamp_ns, frame_id, camera, depth, painted.colour, painted.temperature_k)

    def _nearest(self, topic: str, stamp_ns: int, late_ns: int) -> Picture | None:
        recent = self._recent[topic]
        while recent and recent[0].stamp_ns - late_ns < stamp_ns - WAIT_NS:
            recent.popleft()
        best = min(recent, key=lambda p: abs(p.stamp_ns - late_ns - stamp_ns), default=None)
        near = best is not None and abs(best.stamp_ns - late_ns - stamp_ns) <= self.tolerance_ns
        return best if near else None

    def _camera(self, picture: Picture, size: tuple[int, int]) -> CameraModel:
        key = (picture.frame_id, size)
        if key not in self._cameras:
            camera = self.bag.camera(picture, size)
            if camera is None:
                raise InputError(
                    f"{self.bag.path}: no camera_info of frame {picture.frame_id!r} and size {size[0]}×{size[1]} for "
                    f"{picture.topic}: record the camera_info topic beside it; {self.bag.listing()}"
                )
            self._cameras[key] = camera
        return self._cameras[key]


class PerceivedFrames:
    """Colour and thermal pictures through the pipeline: its depth, its fused picture, its temperature; played once."""

    def __init__(
        self,
        source: Source,
        pipeline: Pipeline,
        camera: CameraModel,
        config: Config,
        colour: str,
        every: int = 1,
        pose_of: PoseOf = lambda frame, stamp_ns: None,
    ) -> None:
        """`colour`: fused, rgb or temperature. Every pair is perceived, every `every`-th one is used.

        `pose_of`: where the camera was, in the frame of ``depth.odometry_frame``.
        """
        self._pose_of = pose_of
        self.source, self.camera, self.colour, self.every = source, camera, colour, every
        self.config, self._pipeline = config, pipeline
        self.count = None if source.frame_count is None else source.frame_count // 2
        self.problems = source.problems

    def __iter__(self) -> Iterator[DepthFrame | Skip]:
        pairer = make_pairer(self.config.sync)
        for index, pair in enumerate(paired(self.source.arrivals(), pairer)):
            item = self._frame(pair)
            yield Skip("every") if index % self.every and isinstance(item, DepthFrame) else item
        for reason, count in pairer.counters.items():
            if reason.startswith(Stream.RGB.value):  # there are as many frames as colour pictures
                for _ in range(count):
                    yield Skip(reason, UNPAIRED)

    def _frame(self, pair: Pair) -> DepthFrame | Skip:
        try:
            pose = self._pose_of(pair.rgb.frame_id or self.camera.frame_id, pair.rgb.stamp_ns)
            seen = self._pipeline.process(FramePair(pair.rgb, pair.thermal, pose))
        except InputError as error:
            return Skip("refused", str(error))
        if seen.depth is None:
            if not seen.depth_refused and seen.relative_depth is None:  # and never will be
                raise InputError(f"{self.source.name}: {NO_SCALE}; the pipeline estimates no depth here")
            return Skip("no_metric_depth", f"{NO_SCALE} ({seen.depth_refused})")
        colour = {"fused": seen.fused, "rgb": pair.rgb.image}.get(self.colour)
        if self.colour == "temperature":
            if seen.temperature_k is None:
                raise InputError(
                    "these thermal pictures hold no temperature: --set thermal.kind=tlinear if the camera sends it, "
                    "or --colour fused"
                )
            if seen.frozen:
                return Skip("thermal_frozen", "the thermal camera repeats a frame")
        frame_id = seen.frame_id or self.camera.frame_id
        return DepthFrame(
            seen.stamp_ns, frame_id, self.camera, seen.depth, colour,
            seen.temperature_k if self.colour == "temperature" else None,
        )  # fmt: skip
