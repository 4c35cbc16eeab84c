"""Why an input is silent, as far as the ROS graph tells, in one line with the remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thermal_fusion_ros.ros.inputs import CameraInput

if TYPE_CHECKING:
    from rclpy.node import Node

IMAGE_TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
_SHOWN = 6  # topics in a hint


def explain_silence(node: Node, camera: CameraInput) -> str:
    """What is wrong with the topic of `camera`, which brings nothing."""
    where = camera.topic
    own = node.resolve_topic_name(camera.own_name, only_expand=True)
    if own != camera.topic:
        where += f" (remapped from {camera.own_name})"
    since = f" for {camera.silent_s:.1f} s" if camera.received else ""
    nothing = f"no images on {where}{since}"
    if camera.qos_problem:
        return f"{nothing}: {camera.qos_problem}"
    types = [end.topic_type for end in node.get_publishers_info_by_topic(camera.topic)]
    if camera.type_name in types:
        return (
            f"{nothing}: {types.count(camera.type_name)} publisher(s), but nothing comes from them; "
            "is the camera running, and is there a network between?"
        )
    if types:
        return f"{nothing}: it carries {types[0]}, not {camera.type_name}; {_other_transport(camera)}"
    return f"{nothing}: nothing publishes there; {_hint(node, camera)}"


def _other_transport(camera: CameraInput) -> str:
    other = "raw" if camera.own_name.endswith("/compressed") else "compressed"
    return f"remap {camera.own_name}, or set input.transport to {other}"


def _hint(node: Node, camera: CameraInput) -> str:
    offered = [
        topic
        for topic, types in node.get_topic_names_and_types()
        if any(kind in IMAGE_TYPES for kind in types) and node.count_publishers(topic)
    ]
    in_use = {end.topic_name for end in [*node.publishers, *node.subscriptions]}
    offered = sorted(set(offered) - in_use)
    twin = (
        camera.topic.removesuffix("/compressed")
        if camera.own_name.endswith("/compressed")
        else f"{camera.topic}/compressed"
    )
    if twin in offered:
        return f"{twin} is there: set input.transport to {'raw' if twin in camera.topic else 'compressed'}"
    if not offered:
        return "no images are published at all: start the camera"
    shown = ", ".join(offered[:_SHOWN]) + (" ..." if len(offered) > _SHOWN else "")
    return f"images are on {shown}: remap with -r {camera.own_name}:=TOPIC"
