"""The simulated rig drives through a corridor; the mesh is compared with the world it drove through."""

import json
from itertools import pairwise

import cv2
import numpy as np
import pytest

pytest.importorskip("open3d", reason="reconstruction needs open3d")

import open3d as o3d
from rosbags.highlevel import AnyReader
from rosbags.typesys import Stores, get_typestore

from thermal_fusion_ros.bags.writer import BagWriter
from thermal_fusion_ros.cli.main import main
from thermal_fusion_ros.config import SimulationConfig
from thermal_fusion_ros.simulation import Simulator
from thermal_fusion_ros.simulation.recording import write_bag
from thermal_fusion_ros.simulation.rig import base_pose

from .rooms import Recorder
from .test_reconstruction_inputs import places, read_ply

SECONDS = 2.0
SIZE = {"width": 160, "height": 120, "thermal_width": 160, "thermal_height": 120}
CONFIG = SimulationConfig(world="corridor", condition="day", seed=3, quality="live", **SIZE)


@pytest.fixture(scope="module")
def simulator():
    return Simulator(CONFIG)


@pytest.fixture(scope="module")
def bag(tmp_path_factory, simulator):
    path = tmp_path_factory.mktemp("recording") / "corridor.mcap"
    with BagWriter(path) as writer:
        write_bag(writer, simulator, SECONDS)
    return path


@pytest.fixture(scope="module")
def off_surface(simulator):
    """How far points are from anything that does not move in the world."""
    static = simulator.world.static
    scene = o3d.t.geometry.RaycastingScene()
    scene.add_triangles(static.vertices.astype(np.float32), np.ascontiguousarray(static.triangles, np.uint32))
    return lambda points: scene.compute_distance(o3d.core.Tensor(points.astype(np.float32))).numpy()


def without_tf(bag, path, with_odometry, simulator):
    """The recording without /tf, with what wheels would say instead if asked for."""
    default = get_typestore(Stores.ROS2_JAZZY)
    with AnyReader([bag], default_typestore=default) as reader, BagWriter(path) as writer:
        for connection, stamp, raw in reader.messages():
            if connection.topic != "/tf":
                writer.write_serialized(connection.topic, connection.msgtype, raw, stamp)
            elif with_odometry:
                message = reader.deserialize(raw, connection.msgtype).transforms[0]
                at = message.header.stamp
                ns = at.sec * 1_000_000_000 + at.nanosec
                Recorder(writer).odometry(base_pose(simulator.world, (ns - 1_000_000_000) / 1e9), ns)
    return path


@pytest.fixture(autouse=True)
def small_picture(monkeypatch):
    monkeypatch.setattr("thermal_fusion_ros.cli.reconstruct.PICTURE_PX", (280, 210))


def reconstruct(bag, folder, *options):
    out, report = folder / "mesh.ply", folder / "report.json"
    common = ["--colour", "rgb", "--json", str(report)]
    assert main(["reconstruct", str(bag), "--out", str(out), *common, *options]) == 0
    return json.loads(report.read_text()), read_ply(out)


def test_with_tf_the_surface_is_where_it_is(bag, tmp_path, off_surface):
    report, vertices = reconstruct(bag, tmp_path)
    assert report["frames"] == {"in": 20, "used": 20, "skipped": {}}
    assert (report["poses"]["source"], report["poses"]["world_frame"]) == ("tf", "map")
    assert report["depth"] == "/ground_truth/rgb/depth/compressed"
    assert report["vertices"] == len(vertices) > 20_000
    off = off_surface(places(vertices))
    assert np.median(off) < 0.005
    assert np.percentile(off, 90) < 0.05
    picture = cv2.imread(str(tmp_path / "mesh.png"))
    assert picture.shape == (210, 280, 3)
    brightness = cv2.cvtColor(picture, cv2.COLOR_BGR2HSV)[..., 2]
    assert (brightness > 90).mean() > 0.1, "the mesh fills a good part of the picture and is not dark"


def test_an_odometry_topic_does_the_same(bag, tmp_path, off_surface, simulator):
    path = without_tf(bag, tmp_path / "odometry.mcap", True, simulator)
    report, vertices = reconstruct(path, tmp_path)
    assert (report["poses"]["source"], report["poses"]["topic"]) == ("odometry", "/odom")
    assert report["frames"]["used"] == 20
    assert np.median(off_surface(places(vertices))) < 0.005


def test_without_poses_the_pictures_tell_them_within_three_percent_of_the_way(
    bag, tmp_path, off_surface, simulator, monkeypatch
):
    from thermal_fusion_ros.geometry.reconstruction_tracking import BODY_FROM_OPTICAL, RgbdOdometry

    tracked = []
    track = RgbdOdometry.track
    monkeypatch.setattr(RgbdOdometry, "track", lambda *a, **k: tracked.append(track(*a, **k)) or tracked[-1])
    path = without_tf(bag, tmp_path / "blind.mcap", False, simulator)
    report, vertices = reconstruct(path, tmp_path)
    assert (report["poses"]["source"], report["poses"]["world_frame"]) == ("rgbd", "odom")
    assert report["frames"]["used"] == len(tracked) == 20
    true = [base_pose(simulator.world, index / 10) @ simulator.rig.base_from_rgb for index in range(20)]
    way = sum(np.linalg.norm(b[:3, 3] - a[:3, 3]) for a, b in pairwise(true))
    map_from_odom = true[0] @ np.linalg.inv(BODY_FROM_OPTICAL)
    errors = [
        np.linalg.norm((map_from_odom @ t)[:3, 3] - s[:3, 3]) for t, s in zip(tracked, true, strict=True)
    ]
    assert max(errors) < 0.03 * way
    for pose in tracked:  # or errors multiply from key frame to key frame
        assert np.allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3), atol=1e-9)
    assert report["poses"]["path_m"] == pytest.approx(way, rel=0.05)
    in_map = places(vertices) @ map_from_odom[:3, :3].T + map_from_odom[:3, 3]
    assert np.median(off_surface(in_map)) < 0.02


def test_warm_is_where_it_is_warm(bag, tmp_path, simulator):
    report, vertices = reconstruct(bag, tmp_path, "--colour", "temperature")
    assert report["colour"] == "temperature"
    truth = simulator.thermal(1.0 + 0.008).truth
    pose = truth.world_from_camera
    rays = truth.camera.rays()
    points = (rays / rays[..., 2:] * truth.depth[..., None]) @ pose[:3, :3].T + pose[:3, 3]
    inside = np.zeros(truth.depth.shape, bool)
    inside[10:-10, 10:-10] = True
    inside &= (truth.depth < 6) & (truth.instance == 0)
    # Edges of temperature are blurred over a voxel.
    side = np.ones((3, 3))
    even = cv2.dilate(truth.temperature_k, side) - cv2.erode(truth.temperature_k, side) < 5
    at = places(vertices)
    for warm, asked in ((True, truth.temperature_k > 305), (False, truth.temperature_k < 296)):
        some = points[inside & even & asked]
        assert len(some) > 50
        nearest = np.array(
            [np.linalg.norm(at - p, axis=1).argmin() for p in some[:: max(1, len(some) // 100)]]
        )
        found = vertices["temperature"][nearest]
        share = np.nanmean(found > 303) if warm else np.nanmean(found < 298)
        assert share > 0.9, (warm, share)
    red = vertices["red"].astype(float)
    known = np.isfinite(vertices["temperature"])
    assert np.corrcoef(red[known], vertices["temperature"][known])[0, 1] > 0.5
