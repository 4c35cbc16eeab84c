"""Recordings of every make, and of every mistake, of a room in which the truth is known in closed form."""

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("open3d", reason="reconstruction needs open3d")

from thermal_fusion_ros.cli.main import main
from thermal_fusion_ros.sensing.camera import CameraModel

from .rooms import (
    CAMERA,
    COLD_K,
    FRAMES,
    WARM_K,
    colour_at,
    kelvin_at,
    look,
    off_surface,
    record,
    stamp_of,
)

THERMAL = CameraModel(80, 60, np.array([[70.0, 0, 40.0], [0, 70.0, 29.0], [0, 0, 1]]))
CAMERA_FROM_THERMAL = np.eye(4)
CAMERA_FROM_THERMAL[:3, 3] = 0.1, 0.02, 0.0


@pytest.fixture(autouse=True)
def small_picture(monkeypatch):
    monkeypatch.setattr("thermal_fusion_ros.cli.reconstruct.PICTURE_PX", (160, 120))


def reconstruct(bag, tmp_path, *options, voxel="0.08"):
    """(exit code, report, vertices by name) of the command."""
    out, report = tmp_path / "mesh.ply", tmp_path / "report.json"
    code = main(
        [
            "reconstruct",
            str(bag),
            "--out",
            str(out),
            "--json",
            str(report),
            "--voxel",
            voxel,
            *map(str, options),
        ]
    )
    return code, json.loads(report.read_text()) if report.exists() else None, read_ply(out)


def read_ply(path):
    """Vertices of a PLY as a structured array; read here, independently of the writer's library."""
    if not path.exists():
        return None
    head, _, body = path.read_bytes().partition(b"end_header\n")
    kinds = {"float": "<f4", "double": "<f8", "uchar": "u1"}
    fields, count, inside = [], 0, False
    for line in head.decode().splitlines():
        words = line.split()
        if words[0] == "element":
            inside = words[1] == "vertex"
            count = int(words[2]) if inside else count
        elif words[0] == "property" and inside:
            fields.append((words[2], kinds[words[1]]))
    return np.frombuffer(body, np.dtype(fields), count)


def places(vertices):
    return np.stack([vertices[n] for n in "xyz"], -1).astype(float)


def colours(vertices):
    return np.stack([vertices[n] for n in ("red", "green", "blue")], -1).astype(float)


def rgb_too(out, index, pose, points):
    stamp = 5_000_000_000 + index * 100_000_000
    out.image("/rgb/image_raw", colour_at(points), stamp)


def refused(capsys):
    error = capsys.readouterr().err
    assert error.strip().count("\n") == 0, error
    return error


@pytest.mark.parametrize(
    "write",
    [
        lambda out, depth, stamp: out.image("/camera/depth/image_raw", depth, stamp),
        lambda out, depth, stamp: out.image(
            "/aligned_depth_to_color/image_raw", np.rint(depth * 1000).astype(np.uint16), stamp
        ),
        lambda out, depth, stamp: out.compressed_depth("/depth/image_raw", depth, stamp),
        lambda out, depth, stamp: out.writer.write_image(
            "/ground_truth/rgb/depth",
            np.rint(depth * 1000).astype(np.uint16),
            stamp_ns=stamp,
            frame_id="camera",
            compressed=True,
        ),
    ],
    ids=["32FC1", "16UC1", "compressedDepth", "png"],
)
def test_every_form_of_depth_gives_the_same_room(tmp_path, write):
    code, report, vertices = reconstruct(record(tmp_path / "a.mcap", depth=write), tmp_path)
    assert code == 0
    assert report["frames"] == {"in": FRAMES, "used": FRAMES, "skipped": {}}
    assert report["colour"] == "none"
    assert report["vertices"] == len(vertices) > 1000
    off = off_surface(places(vertices))
    assert np.median(off) < 0.005
    assert np.percentile(off, 95) < 0.06


def test_a_rectified_depth_picture_has_no_distortion(tmp_path):
    straight = replace(CAMERA, d=np.zeros(5))

    def rectified(out, depth, stamp):
        from .rooms import BASE_FROM_CAMERA, base_pose

        index = (stamp - 5_000_000_000) // 100_000_000
        out.image("/depth/image_rect", look(base_pose(index) @ BASE_FROM_CAMERA, straight)[0], stamp)

    _, _, vertices = reconstruct(record(tmp_path / "a.mcap", depth=rectified), tmp_path)
    assert np.median(off_surface(places(vertices))) < 0.005


def test_colours_land_where_they_are(tmp_path):
    bag = record(tmp_path / "a.mcap", more=rgb_too)
    code, report, vertices = reconstruct(bag, tmp_path)
    assert (code, report["colour"]) == (0, "rgb")
    wrong = np.abs(colours(vertices) - colour_at(places(vertices))).mean(axis=1)
    assert np.median(wrong) < 9  # edges of the checker are blurred over a voxel
    assert (wrong < 30).mean() > 0.9


def thermal_too(out, index, pose, points, encode=lambda kelvin: kelvin):
    stamp = 5_000_000_000 + index * 100_000_000
    _, seen = look(pose @ CAMERA_FROM_THERMAL, THERMAL)
    if index == 0:
        out.tf("camera", "thermal", CAMERA_FROM_THERMAL, stamp, "/tf_static")
    out.info("/thermal/camera_info", stamp, "thermal", THERMAL)
    # Noise, as every camera has it: exact repeats mean a closed shutter.
    kelvin = kelvin_at(seen) + np.random.default_rng(index).normal(0, 0.05, seen.shape[:2])
    out.image("/thermal/image_raw", encode(kelvin.astype(np.float32)), stamp + 3_000_000, "thermal")


def test_temperature_of_another_camera_lands_on_the_warm_wall(tmp_path):
    def tlinear(out, index, pose, points):
        thermal_too(out, index, pose, points, lambda k: np.rint(k * 100).astype(np.uint16))

    bag = record(tmp_path / "a.mcap", more=tlinear)
    code, report, vertices = reconstruct(
        bag, tmp_path, "--colour", "temperature", "--set", "thermal.kind=tlinear"
    )
    assert (code, report["colour"]) == (0, "temperature")
    at, kelvin = places(vertices), vertices["temperature"]
    known = np.isfinite(kelvin)
    assert known.mean() > 0.6
    inner = known & (at[:, 1] < 1.7)
    assert np.abs(kelvin[inner] - COLD_K).max() < 3
    wall = known & (at[:, 1] > 1.97) & (at[:, 2] > 0.3) & (at[:, 2] < 2.2) & (at[:, 0] < 5.7)
    assert np.abs(kelvin[wall] - WARM_K).mean() < 1
    assert colours(vertices)[wall].mean() > colours(vertices)[inner].mean() + 50
    assert report["temperature_c"][0] == pytest.approx(16.85, abs=0.5)


def test_raw_counts_are_no_temperature(tmp_path, capsys):
    def counts(out, index, pose, points):
        thermal_too(out, index, pose, points, lambda k: np.rint(k * 20).astype(np.uint16))

    bag = record(tmp_path / "a.mcap", more=counts)
    assert reconstruct(bag, tmp_path, "--colour", "temperature")[0] == 2
    assert "thermal.kind=tlinear" in refused(capsys)


def test_a_topic_of_kelvin_is_found_and_a_wrong_unit_refused(tmp_path, capsys):
    def kelvin(out, index, pose, points):
        stamp = 5_000_000_000 + index * 100_000_000
        noise = np.random.default_rng(index).normal(0, 0.05, points.shape[:2]).astype(np.float32)
        out.image("/temperature/image_raw", kelvin_at(points) + noise, stamp)
        out.image("/celsius", kelvin_at(points) + noise - 273.15, stamp)

    bag = record(tmp_path / "a.mcap", more=kelvin)
    _, _, vertices = reconstruct(bag, tmp_path, "--colour", "temperature")
    assert np.nanmax(vertices["temperature"]) == pytest.approx(WARM_K, abs=0.5)
    capsys.readouterr()
    assert reconstruct(bag, tmp_path, "--temperature-topic", "celsius")[0] == 2
    assert "thermal.offset_k" in refused(capsys)


class GreyPipeline:
    """Shows the thermal picture it is given in grey, and remembers its configuration."""

    configs: list = []  # noqa: RUF012

    def __init__(self, config):
        type(self).configs.append(config)

    def process(self, pair):
        from thermal_fusion_ros.frames import Perception

        assert pair.rgb.image.shape[:2] == pair.thermal.image.shape, "registered before it is fused"
        level = np.clip((pair.thermal.image.astype(float) / 100 - 285) * 8, 0, 255).astype(np.uint8)
        return Perception(pair.rgb.stamp_ns, "camera", np.repeat(level[..., None], 3, 2), level)


def test_raw_pairs_are_registered_by_depth_and_fused(tmp_path, monkeypatch):
    monkeypatch.setattr("thermal_fusion_ros.pipeline.Pipeline", GreyPipeline)

    def both(out, index, pose, points):
        rgb_too(out, index, pose, points)
        thermal_too(out, index, pose, points, lambda k: np.rint(k * 100).astype(np.uint16))

    code, report, vertices = reconstruct(record(tmp_path / "a.mcap", more=both), tmp_path)
    assert (code, report["colour"]) == (0, "fused")
    config = GreyPipeline.configs[-1]
    assert (config.registration.level, config.depth.enabled) == ("none", False)
    at = places(vertices)
    wall = (at[:, 1] > 1.97) & (at[:, 2] > 0.8) & (at[:, 2] < 1.6) & (at[:, 0] > 5.2) & (at[:, 0] < 5.9)
    floor = (at[:, 2] < 0.03) & (np.abs(at[:, 1]) < 0.8) & (at[:, 0] > 3.5)
    assert np.median(colours(vertices)[wall]) == pytest.approx((WARM_K - 285) * 8, abs=12)
    assert np.median(colours(vertices)[floor]) == pytest.approx((COLD_K - 285) * 8, abs=12)


def test_an_odometry_topic_moves_the_camera(tmp_path):
    bag = record(tmp_path / "a.mcap", poses="odometry")
    code, report, vertices = reconstruct(bag, tmp_path)
    assert code == 0
    assert report["poses"]["source"] == "odometry"
    assert (report["poses"]["topic"], report["poses"]["world_frame"]) == ("/odom", "odom")
    assert report["poses"]["path_m"] == pytest.approx(0.75, abs=0.03)
    assert np.median(off_surface(places(vertices))) < 0.005


def test_of_two_odometry_topics_one_must_be_chosen(tmp_path, capsys):
    def second(out, index, pose, points):
        out.odometry(pose, 5_000_000_000 + index * 100_000_000, "/wheel/odom", "camera")

    bag = record(tmp_path / "a.mcap", poses="odometry", more=second)
    assert reconstruct(bag, tmp_path)[0] == 2
    assert "--odometry-topic" in refused(capsys)
    code, report, vertices = reconstruct(bag, tmp_path, "--odometry-topic", "wheel/odom")
    assert (code, report["poses"]["topic"]) == (0, "wheel/odom")
    assert np.median(off_surface(places(vertices))) < 0.005


def test_far_from_the_origin_of_the_map_nothing_is_lost(tmp_path):
    origin = (500_000.0, 4_000_000.0, 100.0)
    _, report, vertices = reconstruct(record(tmp_path / "a.mcap", origin=origin), tmp_path)
    assert np.median(off_surface(places(vertices) - origin)) < 0.005
    assert report["extent_m"]["min"][0] > 499_999


@pytest.mark.parametrize(
    ("settings", "options", "said"),
    [
        ({"static": False}, [], ["'camera'", "'map'", "/tf_static"]),
        ({}, ["--world-frame", "earth"], ["'camera'", "'earth'"]),
        ({"poses": "odometry", "static": False}, [], ["'camera'", "'odom'"]),
        ({"info": False}, [], ["camera_info", "'camera'"]),
        ({}, ["--depth-topic", "nothing"], ["nothing", "/depth/image_raw"]),
        ({}, ["--max-depth", "0.3"], ["--max-depth"]),
        ({}, ["--colour", "fused"], ["--fused-topic"]),
        ({}, ["--colour", "rgb"], ["--rgb-topic"]),
        ({}, ["--colour", "temperature"], ["--temperature-topic"]),
        ({}, ["--odometry-topic", "odom"], ["nav_msgs/Odometry on odom"]),
        ({}, ["--poses", "odometry"], ["--odometry-topic"]),
        ({}, ["--poses", "rgbd", "--world-frame", "map"], ["--world-frame"]),
        ({"frames": 1}, [], ["1 of 1 frames", "needs 2"]),
        ({}, ["--every", "10"], ["1 of 6 frames", "needs 2"]),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_in_one_line_and_nothing_is_written(tmp_path, capsys, settings, options, said):
    bag = record(tmp_path / "a.mcap", **settings)
    code, report, vertices = reconstruct(bag, tmp_path, *options, voxel="0.1")
    assert (code, report, vertices) == (2, None, None)
    error = refused(capsys)
    for words in said:
        assert words in error, error


def test_bad_frames_are_left_out_and_counted_by_reason(tmp_path, capsys):
    def broken(out, depth, stamp):
        index = (stamp - 5_000_000_000) // 100_000_000
        if index == 1:
            out.image("/depth/image_raw", (depth * 10).astype(np.uint8), stamp)
        elif index == 2:
            out.image("/depth/image_raw", np.full_like(depth, np.nan), stamp)
        elif index == 3:
            out.image("/depth/image_raw", depth, stamp + 10_000_000_000)  # nobody was there then
        else:
            out.image("/depth/image_raw", depth, stamp)

    def rgb_with_a_hole(out, index, pose, points):
        if index != 5:
            rgb_too(out, index, pose, points)

    bag = record(tmp_path / "a.mcap", frames=8, depth=broken, more=rgb_with_a_hole)
    code, report, _ = reconstruct(bag, tmp_path)
    assert code == 0
    counted = report["frames"]
    # The picture from the future has no partner either, and says so first.
    assert counted["skipped"] == {"undecodable": 1, "no_depth": 1, "no_partner": 2}
    assert counted["in"] == 8 == counted["used"] + sum(counted["skipped"].values())
    assert "mono8" in capsys.readouterr().err


BROKEN = b"\0\1\0\0?"


@pytest.mark.parametrize(
    ("topic", "kind", "settings"),
    [
        ("/tf", "tf2_msgs/msg/TFMessage", {}),
        ("/odom", "nav_msgs/msg/Odometry", {"poses": "odometry"}),
        ("/depth/camera_info", "sensor_msgs/msg/CameraInfo", {}),
        ("/depth/image_raw", "sensor_msgs/msg/Image", {}),
    ],
)
def test_messages_that_cannot_be_decoded_are_left_out_and_counted(tmp_path, capsys, topic, kind, settings):
    def broken_first(out, depth, stamp):
        if stamp == stamp_of(0):
            for early in (2, 1):
                out.writer.write_serialized(topic, kind, BROKEN, stamp - early)
        out.image("/depth/image_raw", depth, stamp)

    code, report, vertices = reconstruct(
        record(tmp_path / "a.mcap", depth=broken_first, **settings), tmp_path
    )
    assert (code, report["frames"]["used"]) == (0, FRAMES)
    assert np.median(off_surface(places(vertices))) < 0.005
    error = capsys.readouterr().err
    assert f"{topic}: 2 messages not decoded; first: " in error
    assert error.count("\n") == 1


def test_where_depth_is_estimated_tf_that_cannot_be_decoded_is_told_once(tmp_path):
    from thermal_fusion_ros.bags import open_source
    from thermal_fusion_ros.config import Config
    from thermal_fusion_ros.geometry.reconstruction_input import open_input
    from thermal_fusion_ros.geometry.reconstruction_poses import PoseOptions

    def pairs(out, index, pose, points):
        rgb_too(out, index, pose, points)
        thermal_too(out, index, pose, points)
        out.writer.write_serialized("/tf", "tf2_msgs/msg/TFMessage", BROKEN, stamp_of(index))
        out.info("/rgb/camera_info", stamp_of(index))

    bag = record(tmp_path / "a.mcap", depth=lambda *_: None, more=pairs)
    given = open_input(bag, Config(), PoseOptions(), open_pairs=lambda: open_source(bag))
    assert given.depth == "pipeline"
    (problem,) = given.frames.problems
    assert f"/tf: {FRAMES} messages not decoded" in problem


def test_frames_without_a_pose_are_counted(tmp_path):
    def late(out, depth, stamp):
        out.image("/depth/image_raw", depth, stamp + 300_000_000)  # the last three come after the last pose

    _, report, _ = reconstruct(record(tmp_path / "a.mcap", depth=late), tmp_path)
    assert report["frames"] == {"in": 6, "used": 3, "skipped": {"no_pose": 3}}


def test_every_second_frame(tmp_path):
    _, report, _ = reconstruct(record(tmp_path / "a.mcap"), tmp_path, "--every", "2")
    assert report["frames"] == {"in": 6, "used": 3, "skipped": {"every": 3}}


def test_an_interrupt_keeps_what_was_integrated(tmp_path, monkeypatch, capsys):
    from thermal_fusion_ros.geometry.reconstruction_volume import Volume

    add, calls = Volume.add, []

    def impatient(self, *args):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return add(self, *args)

    monkeypatch.setattr(Volume, "add", impatient)
    code, report, vertices = reconstruct(record(tmp_path / "a.mcap"), tmp_path)
    assert code == 130
    assert report["interrupted"] is True
    assert report["frames"]["used"] == 3
    assert np.median(off_surface(places(vertices))) < 0.005
    assert (tmp_path / "mesh.png").exists()
    assert "interrupted" in capsys.readouterr().err


def test_more_voxels_than_memory_holds_are_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("thermal_fusion_ros.geometry.reconstruction_volume.MOST_BYTES", 20 * 16**3 * 20)
    assert reconstruct(record(tmp_path / "a.mcap"), tmp_path, voxel="0.02")[0] == 2
    assert "--voxel 0.02" in refused(capsys)


class KnowingPipeline:
    """Perceives the depth of the room as it is, from the second pair on; before it has no scale."""

    def __init__(self, config):
        self.seen = 0
        self.registration_counters = Counter()

    def set_rig(self, rig, problem=None, rgb=None):
        assert rgb.size == CAMERA.size, "the pipeline is told which camera it sees through"

    def set_down(self, down):
        from .rooms import BASE_FROM_CAMERA

        np.testing.assert_allclose(down, -BASE_FROM_CAMERA[2, :3], atol=1e-6)

    def process(self, pair):
        from thermal_fusion_ros.frames import Perception

        from .rooms import BASE_FROM_CAMERA, base_pose

        self.seen += 1
        depth, _ = look(base_pose((pair.rgb.stamp_ns - 5_000_000_000) // 100_000_000) @ BASE_FROM_CAMERA)
        out = Perception(pair.rgb.stamp_ns, pair.rgb.frame_id, pair.rgb.image, pair.rgb.image[..., 0])
        if self.seen > 1:
            out.depth = depth
        else:
            out.depth_refused = "no source of scale yet"
        return out


def pairs_only(out, depth, stamp):
    index = (stamp - 5_000_000_000) // 100_000_000
    out.info("/rgb/camera_info", stamp)
    from .rooms import BASE_FROM_CAMERA, base_pose

    points = look(base_pose(index) @ BASE_FROM_CAMERA)[1]
    out.image("/rgb/image_raw", colour_at(points), stamp)
    out.image("/thermal/image_raw", np.full(depth.shape, 100 + index, np.uint8), stamp)


def test_without_a_depth_topic_the_pipeline_gives_depth(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("thermal_fusion_ros.pipeline.Pipeline", KnowingPipeline)
    bag = record(tmp_path / "a.mcap", info=False, depth=pairs_only)
    code, report, vertices = reconstruct(bag, tmp_path)
    assert code == 0
    assert (report["depth"], report["colour"], report["poses"]["source"]) == ("pipeline", "fused", "tf")
    assert report["frames"] == {"in": 6, "used": 5, "skipped": {"no_metric_depth": 1}}
    assert np.median(off_surface(places(vertices))) < 0.005
    guessed = report["notes"][-1]
    assert "thermal is taken as registered" in guessed
    assert "camera_info of both cameras" in guessed
    assert guessed in capsys.readouterr().err


def test_depth_without_metres_is_refused_with_the_remedy(tmp_path, monkeypatch, capsys):
    class Blind(KnowingPipeline):
        def process(self, pair):
            self.seen = -1
            return super().process(pair)

    monkeypatch.setattr("thermal_fusion_ros.pipeline.Pipeline", Blind)
    bag = record(tmp_path / "a.mcap", info=False, depth=pairs_only)
    assert reconstruct(bag, tmp_path)[0] == 2
    error = refused(capsys)
    assert "--camera-height" in error
    assert "no source of scale yet" in error
