"""Makes the graph fast. Which backend runs it changes the speed, never the picture."""

from thermal_fusion_ros.engine.base import Engine, build

__all__ = ["Engine", "build"]
