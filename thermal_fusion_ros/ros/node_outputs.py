"""All images and clouds that the node publishes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from thermal_fusion_ros.config import Config
from thermal_fusion_ros.frames import CAPTION, FUSED, OBJECTS, Perception
from thermal_fusion_ros.ros.depth_outputs import DepthOutputs
from thermal_fusion_ros.ros.language_outputs import LanguageOutputs
from thermal_fusion_ros.ros.object_outputs import ObjectOutputs
from thermal_fusion_ros.ros.outputs import FusedOutputs

if TYPE_CHECKING:
    from rclpy.node import Node

    from thermal_fusion_ros.language.service import LanguageService


class NodeOutputs:
    """`fused`, `language` and, where they are enabled, `depth` and `objects`."""

    def __init__(self, node: Node, config: Config, language: LanguageService) -> None:
        self.fused = FusedOutputs(node, config.output)
        self.depth = DepthOutputs(node, config.depth, config.points) if config.depth.enabled else None
        self.objects = ObjectOutputs(node) if config.objects.enabled else None
        self.language = LanguageOutputs(node, language)
        self._thinking = language

    @property
    def subscribers(self) -> int:
        """Subscriptions to what is made of pairs: images, clouds, markers, captions."""
        depth = 0 if self.depth is None else sum(self.depth.counts.values())
        objects = 0 if self.objects is None else self.objects.subscribers
        return self.fused.subscribers + depth + objects + self.language.subscribers

    def wanted(self, stamp_ns: int) -> tuple[frozenset[str], str]:
        """What is to be made of the pair of this stamp; where that is nothing, why: a reason for the ledger."""
        wanted, reason = frozenset[str](), "no_subscriber"
        if self.depth is not None:
            wanted, reason = self.depth.wanted(stamp_ns)
        if self.objects is not None and self.objects.subscribers:
            wanted |= {OBJECTS}
        if self.language.subscribers and not wanted:
            wanted, reason = self.language.wanted()
        if self.fused.subscribers:
            wanted |= {FUSED}
        if wanted and self._thinking.due:  # a caption guides fusion, whoever reads it
            wanted |= {CAPTION}
        return wanted, "" if wanted else reason

    def publish(self, perception: Perception, camera_info: Any | None) -> int:
        """Publish what somebody subscribes to; the number of images, clouds and sets of markers.

        `camera_info`: the RGB camera's last CameraInfo; its header is overwritten.
        """
        published = self.fused.publish(perception, camera_info)
        if self.depth is not None:
            published += self.depth.publish(perception, camera_info)
        if self.objects is not None:
            published += self.objects.publish(perception)
        return published

    def update(self, config: Config) -> None:
        """Live parameters."""
        self.fused.jpeg_quality = config.output.jpeg_quality
        if self.depth is not None:
            self.depth.points = config.points

    def close(self) -> None:
        """Take the topics away."""
        self.fused.close()
        self.language.close()
        for optional in (self.depth, self.objects):
            if optional is not None:
                optional.close()
