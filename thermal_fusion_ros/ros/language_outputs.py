"""Captions, and what they mean to the network, as topics. Published by a timer: no thread of the frame path waits."""

from __future__ import annotations

import array
from typing import TYPE_CHECKING

from std_msgs.msg import Float32MultiArray, MultiArrayDimension, String

from thermal_fusion_ros.frames import CAPTION
from thermal_fusion_ros.ros.overridable import NEWEST, create_publisher

if TYPE_CHECKING:
    from rclpy.node import Node

    from thermal_fusion_ros.language.captioner import Caption
    from thermal_fusion_ros.language.service import LanguageService, LanguageState


class LanguageOutputs:
    """`caption` and `caption/embedding` of a node.

    An embedding's layout says what it is: the first dimension's label is its name and its size that of the data; the
    second's, of size 1, is `age_s=<seconds>`, so that a reader notices when the language worker stalls.
    """

    def __init__(self, node: Node, language: LanguageService) -> None:
        self._node, self._language = node, language
        self._caption = create_publisher(node, String, "caption", NEWEST)
        self._embedding = create_publisher(node, Float32MultiArray, "caption/embedding", NEWEST)
        self._last: Caption | None = language.state().caption  # of before: what it says is no longer so

    @property
    def subscribers(self) -> int:
        """Subscriptions that need pairs: none while captions are off."""
        if not self._language.captions:
            return 0
        return sum(int(topic.get_subscription_count()) for topic in (self._caption, self._embedding))

    def wanted(self) -> tuple[frozenset[str], str]:
        """What is to be made of a pair for captions alone; where that is nothing, the reason for the ledger."""
        return (frozenset({CAPTION}), "") if self._language.due else (frozenset(), "rate_limited")

    def publish(self, state: LanguageState) -> None:
        """Publish a caption that is new, and the embedding with its age."""
        if state.caption is not None and state.caption is not self._last:
            self._last = state.caption
            self._caption.publish(String(data=state.caption.text))
        if state.embedding is not None and self._embedding.get_subscription_count():
            self._embedding.publish(embedding_message(state))

    def close(self) -> None:
        """Take the topics away."""
        for publisher in (self._caption, self._embedding):
            self._node.destroy_publisher(publisher)


def embedding_message(state: LanguageState) -> Float32MultiArray:
    """The embedding of `state`, which has one."""
    assert state.embedding is not None
    size = len(state.embedding)
    message = Float32MultiArray(data=array.array("f", state.embedding.tobytes()))
    message.layout.dim = [
        MultiArrayDimension(label=state.embedding_name, size=size, stride=size),
        MultiArrayDimension(label=f"age_s={state.age_s or 0.0:.3f}", size=1, stride=1),
    ]
    return message
