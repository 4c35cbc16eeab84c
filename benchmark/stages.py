"""`pytest benchmark/stages.py`: every stage of the frame path by itself, 640x480, timed by pytest-benchmark.

Not part of `make test`, which looks into test/ only; nothing here is asserted about time. Compare two versions with
`--benchmark-autosave` and `--benchmark-compare`. `thermal-fusion bench` times the path as a whole.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from thermal_fusion_ros.config import Config
from thermal_fusion_ros.depth_stage import DepthStage, pinhole
from thermal_fusion_ros.evaluation.frame_path import (
    HORIZONTAL_FOV_DEG,
    FramePath,
    RawImage,
    scene,
    with_metres,
)
from thermal_fusion_ros.frames import Perception, ThermalFrame, ThermalKind
from thermal_fusion_ros.geometry.motion_stereo import VIEWS, MotionStereo
from thermal_fusion_ros.geometry.pointcloud import INTENSITY, PointCloudBuilder
from thermal_fusion_ros.messages import rgb_from_message, thermal_from_message
from thermal_fusion_ros.models.guidance import CODE_DIM
from thermal_fusion_ros.pipeline import Pipeline
from thermal_fusion_ros.sensing.registration import Registrar
from thermal_fusion_ros.sensing.thermal import ThermalProcessor

HEIGHT, WIDTH = 480, 640
SHIFTED = "1.01 0.0 4.0 0.0 1.01 -3.0 0.0 0.0 1.0"
Timer = Callable[..., Any]


@pytest.fixture(scope="module")
def messages() -> tuple[RawImage, RawImage]:
    """A colour and a thermal message."""
    return scene(HEIGHT, WIDTH, 1)[0]


@pytest.fixture(scope="module")
def config() -> Config:
    """The defaults, and a source of metres."""
    return with_metres(Config())


@pytest.fixture(scope="module")
def pipeline(config: Config) -> Pipeline:
    """With the engine that `auto` takes here."""
    made = Pipeline(config)
    made.prepare(HEIGHT, WIDTH)
    return made


@pytest.fixture(scope="module")
def outputs(pipeline: Pipeline, messages: tuple[RawImage, RawImage]) -> dict[str, NDArray[Any]]:
    """What the engine says of the messages; memory of its own."""
    view = ThermalProcessor(Config().thermal)(_thermal(messages))
    nothing = np.zeros(CODE_DIM, np.float32)
    found = pipeline._prepare(HEIGHT, WIDTH).run(rgb_from_message(messages[0]), view.display, nothing)
    return {name: np.array(image) for name, image in found.items()}


def _thermal(messages: tuple[RawImage, RawImage], stamp_ns: int = 0) -> ThermalFrame:
    return ThermalFrame(stamp_ns, thermal_from_message(messages[1]), ThermalKind.COUNTS)


def _perception(fused: NDArray[np.uint8], stamp_ns: int = 0) -> Perception:
    return Perception(stamp_ns, "camera", fused, np.ascontiguousarray(fused[..., 0]))


@pytest.mark.parametrize("encoding", ["rgb8", "bgr8", "bayer_rggb8", "yuv422_yuy2"])
def test_conversion_of_colour(benchmark: Timer, encoding: str) -> None:
    """Message to H×W×3."""
    channels = {"rgb8": 3, "bgr8": 3, "yuv422_yuy2": 2}.get(encoding, 1)
    step = WIDTH * channels
    benchmark(rgb_from_message, RawImage(HEIGHT, WIDTH, encoding, step, bytearray(step * HEIGHT)))


def test_conversion_of_thermal(benchmark: Timer, messages: tuple[RawImage, RawImage]) -> None:
    """Message to 16-bit counts."""
    benchmark(thermal_from_message, messages[1])


def test_contrast_control(benchmark: Timer) -> None:
    """Counts to a display picture (AGC)."""
    processor = ThermalProcessor(Config().thermal)
    # The same picture twice would be taken for a frozen camera, and nothing done.
    frames = cycle([_thermal(pair, 33_000_000 * i) for i, pair in enumerate(scene(HEIGHT, WIDTH, 4))])
    benchmark(lambda: processor(next(frames)))


def test_registration(benchmark: Timer, messages: tuple[RawImage, RawImage]) -> None:
    """Thermal into the RGB frame by a homography."""
    config = Config().with_values({"registration.level": "homography", "registration.matrix": SHIFTED})
    rgb = rgb_from_message(messages[0])
    display = np.ascontiguousarray(rgb[..., 0])
    benchmark(Registrar(config.registration), display, None, display)


def test_engine(benchmark: Timer, pipeline: Pipeline, messages: tuple[RawImage, RawImage]) -> None:
    """The network alone."""
    rgb = rgb_from_message(messages[0])
    thermal, nothing = np.ascontiguousarray(rgb[..., 0]), np.zeros(CODE_DIM, np.float32)
    benchmark(pipeline._prepare(HEIGHT, WIDTH).run, rgb, thermal, nothing)


def test_depth_stage(benchmark: Timer, config: Config, outputs: dict[str, NDArray[Any]]) -> None:
    """What the network says to metres: filter, scale, enlargement."""
    stage = DepthStage(config.depth)
    perception = _perception(outputs["fused"])

    def step() -> None:
        perception.stamp_ns += 33_000_000
        stage(perception, outputs["depth"], outputs["sigma"], None, None)

    benchmark(step)
    assert perception.depth is not None


@pytest.mark.parametrize("stride", [1, 2])
def test_cloud(benchmark: Timer, config: Config, outputs: dict[str, NDArray[Any]], stride: int) -> None:
    """Depth to points in a message's memory."""
    perception = _perception(outputs["fused"])
    DepthStage(config.depth)(perception, outputs["depth"], outputs["sigma"], None, None)
    points = config.with_values({"points.stride": stride}).points
    builder = PointCloudBuilder(pinhole(WIDTH, HEIGHT, HORIZONTAL_FOV_DEG), points, INTENSITY)
    builder.lay_over(bytearray(builder.nbytes))
    benchmark(builder, perception.depth, perception.fused, perception.thermal)


def test_filling_an_image_message(benchmark: Timer, outputs: dict[str, NDArray[Any]]) -> None:
    """Fused picture into the memory that a publisher sends."""
    message_memory = pytest.importorskip("thermal_fusion_ros.ros.message_memory")  # needs ROS
    benchmark(message_memory.ImageMemory("rgb8").fill, outputs["fused"])


def test_whole_path(benchmark: Timer, config: Config, messages: tuple[RawImage, RawImage]) -> None:
    """Two raw messages in; fused picture, depth and cloud filled."""
    path = FramePath(config)
    path.pipeline.prepare(HEIGHT, WIDTH)
    benchmark(path, *messages)


def test_motion_stereo(benchmark: Timer, outputs: dict[str, NDArray[Any]]) -> None:
    """Depth corrected by pictures from three earlier places: the camera goes round before a wall."""
    stereo, camera = MotionStereo(), pinhole(WIDTH, HEIGHT, HORIZONTAL_FOV_DEG)
    wall = np.full_like(outputs["depth"], 4.0)
    round_about = [(0.5 * np.cos(angle), 0.5 * np.sin(angle)) for angle in np.linspace(0, 2 * np.pi, 9)[1:]]
    shifts = [np.array([[1, 0, x], [0, 1, y]]) * [1, 1, -camera.k[0, 0] / 4.0] for x, y in round_about]
    pictures = [cv2.warpAffine(outputs["fused"], shift, (WIDTH, HEIGHT)) for shift in shifts]
    places = cycle(zip(round_about, pictures, strict=True))

    def step() -> None:
        (right, down), picture = next(places)
        pose = np.eye(4)
        pose[:2, 3] = right, down
        stereo.look(wall, outputs["sigma"], picture, camera, pose, 0, 1.0)
        stereo.refine(wall, outputs["sigma"], 1.0)

    for _ in range(VIEWS + 1):
        step()
    benchmark(step)
    assert stereo.views == VIEWS
