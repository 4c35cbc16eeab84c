"""Objects as markers: what RViz shows and a planner can read. Only with metres: a marker has a place in the world."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from builtin_interfaces.msg import Duration
from visualization_msgs.msg import Marker, MarkerArray

from thermal_fusion_ros.frames import Perception
from thermal_fusion_ros.language.scene import SeenObject
from thermal_fusion_ros.ros.outputs import header_of
from thermal_fusion_ros.ros.overridable import NEWEST, create_publisher
from thermal_fusion_ros.ros.rates import RateMeter

if TYPE_CHECKING:
    from rclpy.node import Node
    from std_msgs.msg import Header

COLOURS = {"person": (1.0, 0.45, 0.1), "traffic light": (0.9, 0.9, 0.2)}  # RGB of a marker
OTHERS = (0.2, 0.6, 1.0)
LIFETIME = Duration(nanosec=500_000_000)  # a node that has stopped leaves nothing behind in RViz
TEXT_M = 0.35  # height of the letters


class ObjectOutputs:
    """`objects` of a node. `refused` says why nothing was published last time, `seen` how many were in that pair."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._markers = create_publisher(node, MarkerArray, "objects", NEWEST)
        self.refused = ""
        self.seen = 0
        self.rate = RateMeter()

    @property
    def subscribers(self) -> int:
        """Subscriptions."""
        return int(self._markers.get_subscription_count())

    def publish(self, perception: Perception) -> int:
        """Publish the objects that have a place; 1 if anything was sent, which an empty street is too."""
        self.seen = len(perception.objects)
        if not self.subscribers:
            return 0
        scale = perception.scale
        if scale is None or scale.scale is None:
            self.refused = (
                perception.depth_refused or "depth.enabled is false: nothing says how far objects are"
            )
            return 0
        self.refused = ""
        self._markers.publish(markers(perception, header_of(perception)))
        self.rate.tick(time.monotonic())
        return 1

    def close(self) -> None:
        """Take the topic away."""
        self._node.destroy_publisher(self._markers)


def markers(perception: Perception, header: Header) -> MarkerArray:
    """A box and a line of text for each object, after one that removes those of the picture before."""
    array = MarkerArray(markers=[Marker(header=header, action=Marker.DELETEALL)])
    for number, seen in enumerate(perception.objects):
        if seen.metric and seen.depth is not None and seen.distance is not None:
            array.markers += _of_one(seen, seen.depth, header, number)
    return array


def described(seen: SeenObject) -> str:
    """`person 6.2 m, 12° left`: straight distance, and direction from straight ahead."""
    degrees = round(abs(seen.bearing_deg))
    side = f"{degrees}° {'left' if seen.bearing_deg > 0 else 'right'}" if degrees else "ahead"
    return f"{seen.label} {seen.distance:.1f} m, {side}"


def _of_one(seen: SeenObject, depth: float, header: Header, number: int) -> tuple[Marker, Marker]:
    """In the optical frame: x right, y down, z ahead (REP-103). As deep as it is wide, its front where depth says."""
    left, top, right, bottom = (edge * depth for edge in seen.view)
    box = Marker(header=header, ns="boxes", id=number, type=Marker.CUBE, lifetime=LIFETIME)
    box.scale.x = box.scale.z = right - left
    box.scale.y = bottom - top
    text = Marker(header=header, ns="labels", id=number, type=Marker.TEXT_VIEW_FACING, lifetime=LIFETIME)
    text.text, text.scale.z = described(seen), TEXT_M
    red, green, blue = COLOURS.get(seen.label, OTHERS)
    for marker, y, alpha in ((box, (top + bottom) / 2, 0.5), (text, top - TEXT_M, 1.0)):
        place = marker.pose.position
        place.x, place.y, place.z = (left + right) / 2, y, depth + (right - left) / 2
        marker.pose.orientation.w = 1.0
        marker.color.r, marker.color.g, marker.color.b, marker.color.a = red, green, blue, alpha
    return box, text
