"""Where the poses of a reconstruction come from: TF, an odometry topic, or the pictures themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.geometry.poses import FrameTree, Matrix, PoseError
from thermal_fusion_ros.geometry.reconstruction_bag import PosedBag
from thermal_fusion_ros.geometry.reconstruction_frames import DepthFrame
from thermal_fusion_ros.geometry.reconstruction_tracking import RgbdOdometry
from thermal_fusion_ros.geometry.reconstruction_volume import Flat

WORLD_FRAMES = ("map", "world", "odom")  # the first of these above the camera; else the top of its tree
TRACKED_FRAME = "odom"
AUTO, TF, ODOMETRY, RGBD = "auto", "tf", "odometry", "rgbd"


class Poses(Protocol):
    """Says where each frame was. `kind`: tf, odometry or rgbd."""

    kind: str
    world_frame: str
    topic: str

    def __call__(self, frame: DepthFrame, flat: Flat) -> Matrix:
        """`world_from_camera`. :class:`PoseError` when it is not known for this frame."""


@dataclass
class TreePoses:
    """From TF, perhaps with an odometry topic in place of a part of it."""

    tree: FrameTree
    world_frame: str
    kind: str = TF
    topic: str = "/tf"

    def __call__(self, frame: DepthFrame, flat: Flat) -> Matrix:
        """See :class:`Poses`."""
        del flat
        return self.tree.lookup(self.world_frame, frame.frame_id, frame.stamp_ns)


class TrackedPoses:
    """From RGB-D odometry."""

    kind, world_frame, topic = RGBD, TRACKED_FRAME, ""

    def __init__(self, max_depth_m: float) -> None:
        self._odometry = RgbdOdometry(max_depth_m)

    def __call__(self, frame: DepthFrame, flat: Flat) -> Matrix:
        """See :class:`Poses`."""
        return self._odometry.track(flat, frame.stamp_ns, colour=frame.colour is not None)


@dataclass(frozen=True)
class PoseOptions:
    """What was asked for; empty is to be found."""

    kind: str = AUTO
    odometry_topic: str = ""
    world_frame: str = ""
    max_depth_m: float = 10.0


def choose_poses(
    bag: PosedBag | None, tree: FrameTree, options: PoseOptions
) -> Callable[[DepthFrame], Poses]:
    """What gives the poses of a recording whose first frame is handed over.

    `auto`: the odometry topic that was named; TF, if anything between world and camera moves; the only odometry topic;
    RGB-D odometry. Raises :class:`InputError` naming the frames when what there is does not connect them.
    """

    def chosen(frame: DepthFrame) -> Poses:
        kind, topic = options.kind, options.odometry_topic
        where = bag.path if bag is not None else Path("folders")
        if kind == AUTO:
            kind = _found(bag, tree, options, frame.frame_id)
        if kind == RGBD:
            if options.world_frame:
                raise InputError(
                    f"--world-frame {options.world_frame}: RGB-D odometry knows no frame but its own "
                    f"({TRACKED_FRAME}); leave it out, or record TF or odometry"
                )
            return TrackedPoses(options.max_depth_m)
        if bag is None:
            raise InputError(f"--poses {kind}: folders of pictures have none; use --poses rgbd")
        world = ""
        if kind == ODOMETRY:
            topics = bag.odometry_topics()
            if not topic and len(topics) != 1:
                raise InputError(
                    f"{where}: odometry topics: {', '.join(topics) or 'none'}; "
                    f"choose one with --odometry-topic; {bag.listing()}"
                )
            topic = topic or topics[0]
            child, track = bag.odometry(topic)
            tree.attach(child, track)
            world = track.parent
        try:
            world = options.world_frame or world or world_above(tree, frame.frame_id)
            tree.path(world, frame.frame_id)
        except PoseError as error:
            raise InputError(
                f"{where}: {error}; record /tf and /tf_static, name another --world-frame, or use --poses rgbd"
            ) from error
        return TreePoses(tree, world, kind, topic or "/tf")

    return chosen


def _found(bag: PosedBag | None, tree: FrameTree, options: PoseOptions, camera: str) -> str:
    """The kind of poses a recording has."""
    if bag is None:
        return RGBD
    if options.odometry_topic:
        return ODOMETRY
    moving = {name for name, track in tree.tracks.items() if not track.static}
    try:
        if options.world_frame or tree.moves(world_above(tree, camera), camera):
            return TF
    except PoseError:
        return TF  # which will say what is wrong
    if bag.odometry_topics():
        return ODOMETRY
    if moving:
        top = tree.ancestors(min(moving))[-1]
        raise InputError(
            f"{bag.path}: TF does not connect the camera's frame {camera!r} with anything that moves "
            f"({', '.join(sorted(moving))} below {top!r}): record /tf_static too, or use --poses rgbd"
        )
    return RGBD


def world_above(tree: FrameTree, camera: str) -> str:
    """The frame to reconstruct in: map, world or odom where one is above the camera, else the top of its tree."""
    above = tree.ancestors(camera)
    return next((name for name in WORLD_FRAMES if name in above), above[-1])
