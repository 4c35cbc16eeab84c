"""Recordings: rosbag2, video and picture folders behind one iterator of frames, and the writer of rosbag2."""

from thermal_fusion_ros.bags.source import Arrival, Source, open_source

__all__ = ["Arrival", "Source", "open_source"]
