"""Build description for colcon (`ament_python`) and pip. Every Python dependency of the package is listed here."""

import os
import re
from glob import glob
from pathlib import Path

from setuptools import find_packages, setup

NAME = "thermal_fusion_ros"
VERSION = re.search(r'__version__ = "(.+)"', Path(NAME, "__init__.py").read_text()).group(1)

# The first line of the installed scripts names the Python that builds them. Debian's `colcon` builds with the system's
# even when a virtual environment is active, and `ros2 run` then says `No module named torch`: name the active one.
active = os.environ.get("VIRTUAL_ENV")
interpreter = Path(active, "bin", "python3") if active else None
options = {"build_scripts": {"executable": str(interpreter)}} if interpreter and interpreter.exists() else {}

setup(
    name=NAME,
    version=VERSION,
    description="Real-time RGB-thermal fusion and depth for ROS 2 robots",
    license="Apache-2.0",
    maintainer="thermal_fusion_ros maintainers",
    maintainer_email="maintainers@thermal-fusion-ros.example",
    python_requires=">=3.10,<3.13",
    packages=find_packages(include=[NAME, f"{NAME}.*"]),
    package_data={
        NAME: [
            "models/weights/*.safetensors",
            "models/weights/*.md",
            "evaluation/page/*",
            "language/visibility.json",
            "py.typed",
        ]
    },
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        (f"share/{NAME}/launch", sorted(glob("launch/*.launch.py"))),
        (f"share/{NAME}/config", sorted(glob("config/*"))),
    ],
    options=options,
    zip_safe=False,
    install_requires=[
        "setuptools",
        "Jinja2",
        "numpy>=1.26",
        "opencv-python>=4.8",
        "openvino>=2025.0; platform_machine == 'x86_64'",
        "packaging",  # OpenVINO's torch converter imports it without saying so
        "PyYAML",
        "rosbags>=0.11.9",
        "rosbags-image",
        "safetensors",
        "scipy",
        "torch>=2.6",
        "tqdm",
    ],
    extras_require={
        "simulation": ["open3d"],
        # Prompts in any words, where CLIP's weights are present too. Brings torchvision, which must fit the torch.
        "clip": ["open_clip_torch>=3.0", "Pillow"],
        # Curves of `thermal-fusion train`, beside its log.jsonl.
        "curves": ["tensorboard"],
        # depth.model: networks of others.
        "depth-models": ["transformers>=4.45"],
        "test": [
            "colcon-common-extensions",
            "hypothesis",
            "mypy==2.4.1",  # the linters are pinned: a new one must not break an old checkout
            "open_clip_torch>=3.0; platform_machine == 'x86_64'",
            "onnx",
            "onnxruntime",
            "onnxscript",
            "pytest",
            "pytest-benchmark",  # times the stages: pytest benchmark/stages.py
            "pytest-timeout",
            "pytest-xdist",
            "ruff==0.17.5",
            "selenium",  # drives the browser in the test of the report
            "transformers>=4.45; platform_machine == 'x86_64'",
            "types-PyYAML",
        ],
        # Real ROS 2 Jazzy for machines without one. A robot uses the ROS it has sourced instead.
        "ros-wheels": [
            "ros-jazzy-common-interfaces",
            "ros-jazzy-rclpy",
            "ros-jazzy-sensor-msgs",
            "ros-rclpy[fastrtps]==7.1.6",
        ],
    },
    entry_points={
        "console_scripts": [
            f"thermal-fusion = {NAME}.cli.main:main",
            f"fusion_node = {NAME}.ros.fusion_node:main",
            f"simulator_node = {NAME}.ros.simulator_node:main",
        ],
    },
)
