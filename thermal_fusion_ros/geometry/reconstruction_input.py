"""Finds in a recording what a reconstruction needs: depth or what gives it, colour, and poses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from thermal_fusion_ros.bags.source import _bag_files
from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.geometry.poses import FrameTree, poses_in
from thermal_fusion_ros.geometry.reconstruction_bag import PosedBag
from thermal_fusion_ros.geometry.reconstruction_frames import (
    DEPTH_ENDINGS,
    DepthFrame,
    Painter,
    PerceivedFrames,
    RecordedFrames,
    Skip,
)
from thermal_fusion_ros.geometry.reconstruction_paint import (
    TEMPERATURE_HINT,
    Aligner,
    Bare,
    ColourTopic,
    FusedHere,
    TemperatureTopic,
)
from thermal_fusion_ros.geometry.reconstruction_poses import PoseOptions, Poses, choose_poses
from thermal_fusion_ros.offline import alignment_notes, tell_cameras
from thermal_fusion_ros.sensing.camera import CameraModel
from thermal_fusion_ros.sensing.rig import Rig

if TYPE_CHECKING:
    from thermal_fusion_ros.bags.source import Source
    from thermal_fusion_ros.config import Config
    from thermal_fusion_ros.pipeline import Pipeline

FUSED, RGB, TEMPERATURE, NONE = "fused", "rgb", "temperature", "none"
FUSED_ENDINGS = ("fused/image_raw",)
RGB_ENDINGS = ("rgb/image_raw", "rgb/image_rect", "color/image_raw", "color/image_rect_raw", "image_color")
THERMAL_ENDINGS = ("thermal/image_raw",)
TEMPERATURE_ENDINGS = ("temperature/image_raw", "temperature", "thermal/temperature")


class Frames(Protocol):
    """Frames to reconstruct from; `count`: how many about, for a progress bar; `problems`: what could not be read."""

    count: int | None
    problems: list[str]

    def __iter__(self) -> Iterator[DepthFrame | Skip]:
        """One pass."""


@dataclass(frozen=True)
class Input:
    """`depth`: the topic or "pipeline"; `colour`: what was chosen; `notes`: what there is to say after the pass."""

    frames: Frames
    choose_poses: Callable[[DepthFrame], Poses]
    depth: str
    colour: str
    notes: Callable[[], list[str]] = list


def open_input(
    path: Path,
    config: Config,
    poses: PoseOptions,
    *,
    open_pairs: Callable[[], Source],
    colour: str = "",
    every: int = 1,
    depth_topic: str = "",
    rgb_topic: str = "",
    thermal_topic: str = "",
    fused_topic: str = "",
    temperature_topic: str = "",
) -> Input:
    """What `path` holds; empty options are found.

    A bag with a depth topic is reconstructed from that; other recordings (`open_pairs` opens them) through the
    pipeline. Raises :class:`InputError` when something is missing, naming it.
    """
    files = _bag_files(path) if path.exists() else []
    bag = PosedBag(path, files) if files else None
    tree = bag.transforms() if bag is not None else FrameTree()
    if bag is not None:
        topic = bag.image_topic(depth_topic, DEPTH_ENDINGS, "--depth-topic")
        if topic:
            find = _Painting(bag, tree, config, rgb_topic, thermal_topic, fused_topic, temperature_topic)
            painter, chosen = find(colour)
            frames = RecordedFrames(bag, topic, painter, config.sync.tolerance_s, every)
            return Input(frames, choose_poses(bag, tree, poses), topic, chosen)
    elif depth_topic and path.exists():
        raise InputError(f"--depth-topic {depth_topic}: {path} is no bag; leave it out")
    source = open_pairs()
    if bag is not None:  # what TF and odometry lack is told with what the pictures do
        source.problems += [problem for problem in bag.problems if problem not in source.problems]
        bag.problems = source.problems
    camera = _camera(source, _rig(config))
    chosen_poses = choose_poses(bag, tree, poses)
    from thermal_fusion_ros.pipeline import Pipeline  # takes seconds, and depth topics need none

    pipeline = Pipeline(config)
    problem = tell_cameras(source, config, pipeline, tree)
    pose_of = poses_in(config.depth.odometry_frame, tree)
    perceived = PerceivedFrames(source, pipeline, camera, config, colour or FUSED, every, pose_of)

    def notes() -> list[str]:
        return alignment_notes(config, problem, pipeline.registration_counters)

    return Input(perceived, chosen_poses, "pipeline", colour or FUSED, notes)


@dataclass(frozen=True)
class _Painting:
    """Chooses what colours the depth of a bag."""

    bag: PosedBag
    tree: FrameTree
    config: Config
    rgb_topic: str
    thermal_topic: str
    fused_topic: str
    temperature_topic: str

    def __call__(self, colour: str) -> tuple[Painter, str]:
        """The painter and what it paints; an empty `colour` takes the best there is."""
        bag = self.bag
        aligner = Aligner(bag, self.tree, _rig(self.config))
        late_s = self.config.sync.thermal_offset_s - self.config.sync.rgb_offset_s
        if colour == TEMPERATURE or (not colour and self.temperature_topic):
            topic = bag.image_topic(self.temperature_topic, TEMPERATURE_ENDINGS, "--temperature-topic")
            own = topic or bag.image_topic(self.thermal_topic, THERMAL_ENDINGS, "--thermal-topic")
            if not own:
                raise InputError(f"{bag.path}: no topic of temperatures: {TEMPERATURE_HINT}; {bag.listing()}")
            painter = TemperatureTopic(own, aligner, self.config.thermal, late_s, is_temperature=bool(topic))
            return painter, TEMPERATURE
        fused = bag.image_topic(self.fused_topic, FUSED_ENDINGS, "--fused-topic") if colour != RGB else ""
        if fused:
            return ColourTopic(fused, aligner), FUSED
        rgb = bag.image_topic(self.rgb_topic, RGB_ENDINGS, "--rgb-topic")
        thermal = bag.image_topic(self.thermal_topic, THERMAL_ENDINGS, "--thermal-topic")
        if rgb and thermal and colour != RGB:
            return FusedHere(rgb, thermal, late_s, aligner, self._registered_pipeline), FUSED
        if colour == FUSED:
            raise InputError(
                f"{bag.path}: no fused pictures (--fused-topic), and no colour and thermal ones to fuse "
                f"(--rgb-topic, --thermal-topic); {bag.listing()}"
            )
        if rgb:
            return ColourTopic(rgb, aligner), RGB
        if colour == RGB:
            raise InputError(f"{bag.path}: no colour pictures: choose them with --rgb-topic; {bag.listing()}")
        return Bare(), NONE

    def _registered_pipeline(self) -> Pipeline:
        """For pictures that lie on each other already, and whose depth is known."""
        from thermal_fusion_ros.pipeline import Pipeline

        settings = {"registration.level": "none", "registration.rig": "", "depth.enabled": False}
        return Pipeline(self.config.with_values(settings))


def _rig(config: Config) -> Rig | None:
    return Rig.from_yaml(Path(config.registration.rig)) if config.registration.rig else None


def _camera(source: Source, rig: Rig | None) -> CameraModel:
    """The colour camera of a recording without depth."""
    if rig is not None:
        return rig.rgb
    info = source.camera_info.get("rgb")
    if info is None:
        raise InputError(
            f"{source.name}: no camera_info of the colour camera: give --rig (the file of `thermal-fusion calibrate`), "
            "or record rgb/camera_info"
        )
    return CameraModel.from_camera_info(info, "rgb/camera_info")
