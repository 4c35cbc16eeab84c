"""What a reconstructed surface is coloured with: pictures of other cameras brought into the depth camera's view.

Depth is known here, so that other cameras' pictures are warped exactly, hidden parts left out; fusion of raw pictures
gets thermal registered that way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from thermal_fusion_ros.config import ThermalConfig
from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.frames import FramePair, RgbFrame, ThermalFrame, ThermalKind
from thermal_fusion_ros.geometry.poses import FrameTree, Matrix, PoseError
from thermal_fusion_ros.geometry.reconstruction_bag import Picture, PosedBag
from thermal_fusion_ros.geometry.reconstruction_frames import DepthFrame, Painted, Skip
from thermal_fusion_ros.messages import rgb_from_message, thermal_from_message
from thermal_fusion_ros.sensing.rig import Rig
from thermal_fusion_ros.sensing.thermal import ThermalProcessor
from thermal_fusion_ros.sensing.warping import DepthWarp, RigGeometry

if TYPE_CHECKING:
    from thermal_fusion_ros.pipeline import Pipeline

HALF = 128  # of 255: a warped pixel is believed from here on
TEMPERATURE_HINT = (
    "choose a topic of temperatures with --temperature-topic, or --set thermal.kind=tlinear if the camera sends them, "
    "or use --colour fused"
)

Mask = NDArray[np.uint8]


class Aligner:
    """Brings pictures of other cameras of a bag onto a depth picture, through TF (or a rig file) and depth."""

    def __init__(self, bag: PosedBag, tree: FrameTree, rig: Rig | None = None) -> None:
        """`rig`: from a file; describes the thermal camera where TF and camera_info do not."""
        self._bag, self._tree, self._rig = bag, tree, rig
        self._warps: dict[tuple[Any, ...], DepthWarp | None] = {}

    def __call__(
        self, frame: DepthFrame, picture: Picture, image: NDArray[Any], *, nearest: bool = False
    ) -> tuple[NDArray[Any], Mask | None]:
        """`image` of `picture` on the pixels of `frame`, and where (H×W, 255: fully) it may be believed; None: all."""
        size = (image.shape[1], image.shape[0])
        key = (picture.topic, picture.frame_id, size, frame.frame_id, frame.camera.size)
        if key not in self._warps:
            rig = self._rig_between(frame, picture, size)
            self._warps[key] = None if rig is None else DepthWarp(RigGeometry(rig))
        warp = self._warps[key]
        if warp is None:
            return image, None
        warp.update(frame.depth)
        return warp.apply(np.ascontiguousarray(image), nearest=nearest), warp.valid

    def _rig_between(self, frame: DepthFrame, picture: Picture, size: tuple[int, int]) -> Rig | None:
        """Depth camera and other camera as a rig; None when they are one."""
        same = picture.frame_id == frame.frame_id
        if same and size == frame.camera.size:
            return None
        other = self._bag.camera(picture, size)
        if other is None and same:
            other = frame.camera.resized(*size)
        if other is None and self._rig is not None and self._rig.thermal.size == size:
            return replace(self._rig, rgb=frame.camera)
        if other is None:
            raise InputError(
                f"{self._bag.path}: no camera_info of frame {picture.frame_id!r} and size {size[0]}×{size[1]} for "
                f"{picture.topic}: record it, or give --rig"
            )
        pose: Matrix = np.eye(4)
        if not same:
            try:
                pose = self._tree.lookup(picture.frame_id, frame.frame_id, frame.stamp_ns)
            except PoseError as error:
                if self._rig is None or self._rig.thermal.size != size:
                    raise InputError(
                        f"{self._bag.path}: where the camera of {picture.topic} sits: {error}; record /tf_static, or "
                        "give --rig"
                    ) from error
                return replace(self._rig, rgb=frame.camera)
        return Rig(frame.camera, other, pose[:3, :3], pose[:3, 3])


class Bare:
    """No colour: shape alone."""

    def __init__(self) -> None:
        self.topics: dict[str, int] = {}

    def __call__(self, frame: DepthFrame, pictures: Mapping[str, Picture]) -> Painted | Skip:
        """Nothing."""
        del frame, pictures
        return Painted()


class ColourTopic:
    """A colour topic of the bag: fused pictures, or the camera's own."""

    def __init__(self, topic: str, aligner: Aligner) -> None:
        self.topic, self._align = topic, aligner
        self.topics: dict[str, int] = {topic: 0}

    def __call__(self, frame: DepthFrame, pictures: Mapping[str, Picture]) -> Painted | Skip:
        """The picture on the pixels of depth; depth that it does not show is left out."""
        try:
            image = rgb_from_message(pictures[self.topic].message)
        except InputError as error:
            return Skip("undecodable", f"{self.topic}: {error}")
        colour, seen = self._align(frame, pictures[self.topic], image)
        if seen is not None:
            frame.depth[seen < HALF] = np.nan
        return Painted(colour)


class FusedHere:
    """Colour and thermal topics of the bag, fused by the pipeline after registration by depth."""

    def __init__(
        self,
        rgb_topic: str,
        thermal_topic: str,
        thermal_late_s: float,
        aligner: Aligner,
        make_pipeline: Callable[[], Pipeline],
    ) -> None:
        """`make_pipeline`: one that takes its pictures for registered; made when the first frame comes."""
        self._rgb, self._thermal, self._align = ColourTopic(rgb_topic, aligner), thermal_topic, aligner
        self.topics: dict[str, int] = {rgb_topic: 0, thermal_topic: round(thermal_late_s * 1e9)}
        self._make_pipeline = make_pipeline
        self._pipeline: Pipeline | None = None

    def __call__(self, frame: DepthFrame, pictures: Mapping[str, Picture]) -> Painted | Skip:
        """The fused picture; where thermal saw nothing, the visible one."""
        from thermal_fusion_ros.pipeline import blend

        rgb = self._rgb(frame, pictures)
        if isinstance(rgb, Skip):
            return rgb
        assert rgb.colour is not None
        picture = pictures[self._thermal]
        try:
            thermal = thermal_from_message(picture.message)
        except InputError as error:
            return Skip("undecodable", f"{self._thermal}: {error}")
        kind = ThermalKind.AGC8 if thermal.dtype == np.uint8 else ThermalKind.COUNTS
        aligned, seen = self._align(frame, picture, thermal)
        if seen is not None:
            if seen.max() < HALF:
                return Skip("no_partner", f"{self._thermal}: shows nothing of what the depth picture does")
            aligned = np.where(seen > 0, aligned, np.median(aligned[seen >= HALF]).astype(aligned.dtype))
        self._pipeline = self._pipeline or self._make_pipeline()
        visible = RgbFrame(frame.stamp_ns, np.ascontiguousarray(rgb.colour), frame.frame_id)
        try:
            fused = self._pipeline.process(
                FramePair(visible, ThermalFrame(picture.stamp_ns, aligned, kind, frame.frame_id))
            ).fused
        except InputError as error:
            return Skip("refused", str(error))
        return Painted(fused if seen is None else blend(fused, visible.image, seen))


class TemperatureTopic:
    """A topic of temperatures, or a thermal camera that sends them."""

    def __init__(
        self,
        topic: str,
        aligner: Aligner,
        config: ThermalConfig,
        thermal_late_s: float,
        *,
        is_temperature: bool,
    ) -> None:
        """`is_temperature`: the topic holds temperatures whatever `config.kind` says of the camera's own pictures.

        Floats are then kelvin and integers ``thermal.resolution_k`` each.
        """
        self.topic, self._align, self._config, self._sure = topic, aligner, config, is_temperature
        self.topics: dict[str, int] = {topic: round(thermal_late_s * 1e9)}
        self._processor: ThermalProcessor | None = None

    def __call__(self, frame: DepthFrame, pictures: Mapping[str, Picture]) -> Painted | Skip:
        """Kelvin on the pixels of depth, NaN where the thermal camera saw nothing."""
        picture = pictures[self.topic]
        try:
            image = thermal_from_message(picture.message)
            self._processor = self._processor or self._made_for(image)
            kind = ThermalKind.AGC8 if image.dtype == np.uint8 else ThermalKind.COUNTS
            view = self._processor(ThermalFrame(picture.stamp_ns, image, kind, picture.frame_id))
        except InputError as error:
            return Skip("undecodable", f"{self.topic}: {error}")
        if view.temperature_k is None:
            raise InputError(
                f"{self.topic}: {image.dtype} pixels that are no temperature: {TEMPERATURE_HINT}"
            )
        if view.frozen:  # it would be painted where the robot has gone meanwhile
            return Skip("thermal_frozen", f"{self.topic}: the camera repeats a frame")
        kelvin, seen = self._align(frame, picture, view.temperature_k, nearest=True)
        if self._processor.counters["implausible_temperature"]:
            raise InputError(
                f"{self.topic}: temperatures around {float(np.nanmedian(kelvin)):.0f} K: set thermal.resolution_k "
                "and thermal.offset_k (--set) to what the topic's numbers are"
            )
        kelvin = kelvin.astype(np.float32)
        if seen is not None:
            kelvin[seen < HALF] = np.nan
        return Painted(temperature_k=kelvin)

    def _made_for(self, image: NDArray[Any]) -> ThermalProcessor:
        if not self._sure:
            return ThermalProcessor(self._config)
        config = replace(self._config, kind="tlinear")
        if image.dtype == np.float32:
            config = replace(config, resolution_k=1.0, offset_k=0.0)
        return ThermalProcessor(config)
