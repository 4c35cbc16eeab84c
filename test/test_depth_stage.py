import dataclasses

import cv2
import numpy as np
import pytest

from thermal_fusion_ros.config import Config, DepthConfig
from thermal_fusion_ros.depth_stage import DepthStage, pinhole
from thermal_fusion_ros.detections import Detection
from thermal_fusion_ros.evaluation.frame_path import frames, scene
from thermal_fusion_ros.frames import DEPTH, FUSED, Perception
from thermal_fusion_ros.geometry.mounting import down_of_tilt
from thermal_fusion_ros.pipeline import Pipeline
from thermal_fusion_ros.simulation.rig import default_rig

HEIGHT, WIDTH = 96, 128
RGB = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
CAMERA = pinhole(WIDTH, HEIGHT, 60.0)


def road(camera_height: float) -> np.ndarray:
    """Metres of a level road under a level camera, H/2×W/2, and a wall 20 m ahead."""
    rows = (np.arange(HEIGHT // 2) + 0.5) * 2 - 0.5
    below = np.maximum((rows - CAMERA.k[1, 2]) / CAMERA.k[1, 1], 1e-6)
    metres = np.minimum(camera_height / below, 20.0).astype(np.float32)
    return np.repeat(metres[:, None], WIDTH // 2, 1)


def said_by_network(metres: np.ndarray, camera_height: float) -> np.ndarray:
    """In the unit of DepthNet."""
    return (metres / (camera_height * CAMERA.k[0, 0] / WIDTH)).astype(np.float32)


def run(stage: DepthStage, depth: np.ndarray, stamp_ns: int = 0) -> Perception:
    perception = Perception(stamp_ns, "rgb", RGB.copy(), RGB[..., 0].copy())
    stage(perception, depth, np.full_like(depth, 0.1), None, None)
    return perception


def test_without_a_source_depth_stays_relative_and_says_why():
    perception = run(DepthStage(DepthConfig()), said_by_network(road(1.4), 1.4))
    assert perception.depth is None
    assert perception.relative_depth is not None
    assert "no source of metric scale" in perception.depth_refused
    assert perception.scale_state["scale"] is None


def test_the_cameras_height_makes_metres():
    stage = DepthStage(DepthConfig(camera_height_m=1.4))
    stage.set_cameras(CAMERA, None)
    wanted = road(1.4)
    perception = run(stage, said_by_network(wanted, 1.4))
    assert perception.depth is not None
    assert perception.depth.shape == (HEIGHT, WIDTH)
    np.testing.assert_allclose(perception.depth[80:-4:8, 4:-4:8], wanted[40:-2:4, 2:-2:4], rtol=0.06)


def test_a_network_of_others_gets_its_scale_from_the_ground():
    """Its unit is anything; only the fitted plane can tell."""
    stage = DepthStage(DepthConfig(camera_height_m=1.4), own=False)
    stage.set_cameras(CAMERA, None)
    perception = run(stage, road(1.4) * np.float32(7.3))
    assert perception.scale is not None
    assert perception.scale.scale == pytest.approx(1 / 7.3, rel=0.05)


def test_range_points_serve_one_frame():
    stage = DepthStage(DepthConfig())
    stage.set_cameras(CAMERA, None)
    wanted = road(1.4)
    rows, columns = np.meshgrid(np.arange(58, 92, 4), np.arange(8, 120, 8), indexing="ij")
    pixels = np.stack([columns.ravel(), rows.ravel()], 1).astype(np.float64)
    z = wanted[rows.ravel() // 2, columns.ravel() // 2]
    rays = CAMERA.unproject(pixels)
    stage.set_range_points((rays / rays[:, 2:] * z[:, None]).astype(np.float32))
    first = run(stage, said_by_network(wanted, 1.4))
    assert first.scale_state["agreed"] == ["range_points"]
    assert first.scale is not None
    assert first.scale.scale == pytest.approx(1.4, rel=0.06)
    second = run(stage, said_by_network(wanted, 1.4), 100_000_000)
    assert second.scale is not None
    assert second.scale.sources[2].readings == 1


def test_a_calibration_for_another_size_gives_no_metres_but_depth_all_the_same():
    stage = DepthStage(DepthConfig(camera_height_m=1.4))
    stage.set_cameras(pinhole(640, 480, 60.0), None)
    perception = run(stage, said_by_network(road(1.4), 1.4))
    assert perception.depth is None
    assert perception.relative_depth is not None
    assert "640x480" in perception.depth_refused


def test_metres_that_a_model_claims_are_taken_for_want_of_better():
    stage = DepthStage(DepthConfig(), own=False, metric=True)
    perception = run(stage, road(1.4))
    assert perception.scale is not None
    assert perception.scale.scale == 1.0
    assert "claims" in perception.scale.reason


def test_lens_from_the_field_of_view():
    stage = DepthStage(DepthConfig(camera_height_m=1.4, horizontal_fov_deg=60.0))
    assert run(stage, said_by_network(road(1.4), 1.4)).depth is not None


def test_an_assumed_lens_follows_the_size_of_the_pictures():
    stage = DepthStage(DepthConfig(camera_height_m=1.4, horizontal_fov_deg=60.0))
    assert run(stage, said_by_network(road(1.4), 1.4)).depth is not None
    wide = np.full((HEIGHT, 2 * WIDTH, 3), 90, np.uint8)
    perception = Perception(0, "rgb", wide, wide[..., 0])
    stage.reset()
    depth = np.tile(said_by_network(road(1.4), 1.4), (1, 2))
    stage(perception, depth, np.full_like(depth, 0.1), None, None)
    assert perception.depth is not None
    assert perception.depth.shape == (HEIGHT, 2 * WIDTH)


@pytest.fixture(scope="module")
def pipeline():
    values = {"engine.backend": "torch", "depth.camera_height_m": 1.4, "depth.horizontal_fov_deg": 60.0}
    return Pipeline(Config().with_values(values))


def test_what_nobody_wants_is_left_out(pipeline):
    pipeline.wanted = frozenset({FUSED})
    assert pipeline.process(frames(*scene(64, 96, 1)[0])).relative_depth is None
    pipeline.wanted = frozenset({FUSED, DEPTH})
    perception = pipeline.process(frames(*scene(64, 96, 1)[0]))
    assert perception.depth is not None
    assert perception.depth.shape == (64, 96)
    assert "depth" in perception.stage_ms


def test_thermal_is_registered_through_the_depth_of_the_frame_before():
    rig = default_rig(96, 64, 96, 64).calibration()
    pipeline = Pipeline(Config().with_values({"engine.backend": "torch", "depth.camera_height_m": 1.35}))
    pipeline.set_rig(rig)
    levels = []
    for k, messages in enumerate(scene(64, 96, 3)):
        pair = frames(*messages)
        later = dataclasses.replace(pair.rgb, stamp_ns=k * 100_000_000)
        pipeline.process(dataclasses.replace(pair, rgb=later))
        levels.append(pipeline.registration["level"])
    assert levels == ["plane", "depth", "depth"]


@pytest.mark.parametrize(("level", "compared"), [("plane", 1), ("depth", 0)])
def test_earlier_pictures_are_forgotten_where_thermal_comes_to_lie_elsewhere(level, compared):
    """With `depth` it does on the second picture, from which on depth is known; with `plane` never."""
    pipeline = Pipeline(
        Config().with_values(
            {
                "engine.backend": "torch",
                "depth.camera_height_m": 1.35,
                "depth.odometry_frame": "odom",
                "registration.level": level,
            }
        )
    )
    pipeline.set_rig(default_rig(96, 64, 96, 64).calibration())
    for k, messages in enumerate(scene(64, 96, 3)):
        pair = frames(*messages)
        later = dataclasses.replace(pair.rgb, stamp_ns=k * 100_000_000)
        pose = np.eye(4)
        pose[0, 3] = 0.15 * k
        perception = pipeline.process(dataclasses.replace(pair, rgb=later, world_from_camera=pose))
    assert pipeline.registration["level"] == level
    assert perception.scale_state["motion"].startswith(f"compared with {compared} earlier places")


def test_a_given_tilt_goes_before_tf_and_may_change():
    stage = DepthStage(DepthConfig())
    assert "set depth.camera_tilt" in stage.mounting
    stage.set_down(np.array([0.0, 1.0, 0.0]))
    assert stage.mounting == "roll 0.0°, pitch 0.0° by TF"
    stage.set_down(np.array([0.0, 0.0, -1.0]))  # of a frame whose z is up
    assert "an optical one?" in stage.mounting
    stage.set_down(np.array([0.0, 1.0, 0.0]))
    stage.update(DepthConfig(camera_tilt="1 5"))
    assert stage.mounting == "roll 1.0°, pitch 5.0° by depth.camera_tilt"
    stage.update(DepthConfig())
    assert "by TF" in stage.mounting


def test_a_camera_that_looks_down_gets_its_metres_when_its_tilt_is_told():
    """30 degrees: without a word no plane there is taken for the ground, and only the network's own unit is left."""
    down = down_of_tilt(0, 30)
    rays = CAMERA.unproject(CAMERA.pixel_grid()).reshape(HEIGHT, WIDTH, 3)
    metres = (1.4 / np.maximum(rays @ down, 0.02)).astype(np.float32)[::2, ::2]
    relative = 0.8 * said_by_network(metres, 1.4)  # a network that is wrong by a fifth
    errors = []
    for tilt in ("", "0 30"):
        stage = DepthStage(DepthConfig(camera_height_m=1.4, camera_tilt=tilt, farthest_m=1000.0))
        stage.set_cameras(CAMERA, None)
        perception = Perception(0, "camera", RGB, RGB[..., 0])
        stage(perception, relative, np.full_like(relative, 0.05), None, None)
        assert perception.scale_state["mounting"] == stage.mounting
        errors.append(abs(np.log(np.nanmedian(perception.depth[-10:]) / np.median(metres[-5:]))))
    assert errors[1] < 0.7 * errors[0]


def test_range_points_of_long_ago_are_of_another_place():
    wanted = road(1.4)
    made = []
    for late_ns in (100_000_000, 10_000_000_000):
        stage = DepthStage(DepthConfig())
        stage.set_cameras(CAMERA, None)
        rows, columns = np.meshgrid(np.arange(58, 92, 4), np.arange(8, 120, 8), indexing="ij")
        rays = CAMERA.unproject(np.stack([columns.ravel(), rows.ravel()], 1).astype(np.float64))
        points = rays * wanted[rows.ravel() // 2, columns.ravel() // 2][:, None]
        stage.set_range_points(points.astype(np.float32), 1_000_000_000)
        made.append(run(stage, said_by_network(wanted, 1.4), 1_000_000_000 + late_ns).depth)
    assert made[0] is not None
    assert made[1] is None


def moving_past_a_wall(stage: DepthStage, told: bool = True, frozen: bool = False) -> Perception:
    """A network that has everything a tenth too far, and a camera that moves sideways past a structured wall."""
    noise = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH * 2), np.uint8)
    wall = cv2.GaussianBlur(noise, (0, 0), 1.5)
    metres = np.full((HEIGHT // 2, WIDTH // 2), 4.0, np.float32)
    for n in range(9):
        right = 0.1 * n
        x = np.tile(np.arange(WIDTH, dtype=np.float32) + np.float32(right * CAMERA.k[0, 0] / 4), (HEIGHT, 1))
        y = np.repeat(np.arange(HEIGHT, dtype=np.float32)[:, None], WIDTH, 1)
        seen = np.dstack([cv2.remap(wall, x, y, cv2.INTER_LINEAR)] * 3)
        pose = np.eye(4)
        pose[0, 3] = right
        perception = Perception(n * 100_000_000, "rgb", seen, seen[..., 0], frozen=frozen)
        said = said_by_network(metres, 1.4) * np.float32(1.1)
        stage(perception, said, np.full_like(said, 0.1), None, None, (), pose if told else None)
    return perception


def test_odometry_corrects_depth_and_says_how():
    made = {}
    for frame in ("", "odom"):
        config = DepthConfig(camera_height_m=1.4, odometry_frame=frame)
        stage = DepthStage(config)
        stage.set_cameras(CAMERA, None)
        made[frame] = moving_past_a_wall(stage)
    inner = np.s_[20:-20, 20:-20]
    assert np.median(made[""].depth[inner]) == pytest.approx(4.4, rel=0.01)
    assert np.median(made["odom"].depth[inner]) == pytest.approx(4.0, rel=0.03)
    assert "motion" not in made[""].scale_state
    assert made["odom"].scale_state["motion"].startswith("compared with 2 earlier places")
    relative, scale = made["odom"].relative_depth, made["odom"].scale.scale
    assert np.median(relative[10:-10, 10:-10]) * scale == pytest.approx(4.0, rel=0.03)


def test_metres_can_come_from_odometry_alone():
    stage = DepthStage(DepthConfig(odometry_frame="odom"))
    stage.set_cameras(CAMERA, None)
    made = moving_past_a_wall(stage)
    assert made.scale.agreed == ("odometry_frame",)
    inner = np.s_[20:-20, 20:-20]
    assert np.median(made.depth[inner]) == pytest.approx(4.0, rel=0.03)


def test_without_a_way_odometry_says_why_it_gives_no_metres():
    stage = DepthStage(DepthConfig(odometry_frame="odom"))
    stage.set_cameras(CAMERA, None)
    made = moving_past_a_wall(stage, told=False)
    assert made.depth is None
    assert "odometry_frame: TF does not say where the camera was" in made.depth_refused


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ({"told": False}, "TF does not say where the camera was in 'odom'"),
        ({"frozen": True}, "another moment"),
    ],
)
def test_where_odometry_is_of_no_use_depth_is_the_networks_and_the_reason_is_told(what, words):
    stage = DepthStage(DepthConfig(camera_height_m=1.4, odometry_frame="odom"))
    stage.set_cameras(CAMERA, None)
    seen = moving_past_a_wall(stage, **what)
    assert words in seen.scale_state["motion"]
    assert np.median(seen.depth) == pytest.approx(4.4, rel=0.01)


def test_who_is_found_is_not_farther_away_than_their_height_allows():
    """At 4 m; the network sees the wall behind."""
    foot, high = CAMERA.k[1, 2] + CAMERA.k[1, 1] * 1.4 / 4, CAMERA.k[1, 1] * 1.7 / 4
    person = Detection("person", (50.0, foot - high, 66.0, foot), 0.9)
    chest = np.s_[round(foot - 0.9 * high) : round(foot - 0.6 * high), 54:62]
    made = {}
    for known in (True, False):
        stage = DepthStage(DepthConfig(camera_height_m=1.4, object_heights=known))
        stage.set_cameras(CAMERA, None)
        for n in range(3):
            seen = Perception(n * 100_000_000, "rgb", RGB.copy(), RGB[..., 0].copy())
            said = said_by_network(road(1.4), 1.4)
            stage(seen, said, np.full_like(said, 0.1), None, None, (person,))
        made[known] = np.median(seen.depth[chest])
    assert made[False] > 10
    assert made[True] == pytest.approx(4.0, rel=0.1)
