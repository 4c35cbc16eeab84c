"""A simulated RGB-thermal rig in procedural worlds, with exact ground truth in both spectra."""

from thermal_fusion_ros.simulation.recording import SimulatedSource, demo_source
from thermal_fusion_ros.simulation.simulator import Shot, Simulator

__all__ = ["Shot", "SimulatedSource", "Simulator", "demo_source"]
