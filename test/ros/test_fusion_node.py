"""The node over real DDS, with a fake pipeline: what goes in comes out, what does not is counted and explained."""

from __future__ import annotations

import array

import cv2
import numpy as np
import pytest

rclpy = pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from rclpy.qos import (  # noqa: E402
    DurabilityPolicy,
    QoSProfile,
    ReliabilityPolicy,
    qos_profile_sensor_data,
)
from rosgraph_msgs.msg import Clock  # noqa: E402
from sensor_msgs.msg import CameraInfo, CompressedImage, Image  # noqa: E402
from std_msgs.msg import String  # noqa: E402

from thermal_fusion_ros.errors import EngineError, InputError  # noqa: E402
from thermal_fusion_ros.ros import report  # noqa: E402

from .bench import image  # noqa: E402
from .fakes import H, W, rgb_picture, thermal_picture  # noqa: E402

OK, WARN, ERROR = b"\x00", b"\x01", b"\x02"
NS = 1_000_000_000


def stamp_of(message):
    return message.header.stamp.sec * NS + message.header.stamp.nanosec


def pixels(message):
    return np.frombuffer(message.data, np.uint8).reshape(message.height, message.width, -1)


def test_pairs_become_fused_images_with_stamp_frame_and_camera_info(bench):
    bench.node()
    fused, infos = bench.listen(Image, "/fused/image_raw"), bench.listen(CameraInfo, "/fused/camera_info")
    jpegs = bench.listen(CompressedImage, "/fused/image_raw/compressed")
    info = bench.publisher(CameraInfo, "rgb/camera_info")
    sent = CameraInfo(height=H, width=W, k=[500.0, 0, 32, 0, 500, 24, 0, 0, 1])
    info.publish(sent)
    cameras = bench.cameras()
    cameras.stream_until(lambda: infos and jpegs and len(fused) >= 3, "fused images in all forms")
    for one in fused:
        assert (one.encoding, one.height, one.width, one.step) == ("rgb8", H, W, 3 * W)
        assert one.header.frame_id == "cam"
        np.testing.assert_array_equal(pixels(one), 255 - rgb_picture(1))
    stamps = [stamp_of(one) for one in fused]
    assert stamps == sorted(set(stamps))
    assert infos[-1].header.frame_id == "cam"
    assert stamp_of(infos[-1]) in stamps
    np.testing.assert_array_equal(infos[-1].k, sent.k)
    assert jpegs[-1].format == "rgb8; jpeg compressed bgr8"
    decoded = cv2.imdecode(np.frombuffer(jpegs[-1].data, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]
    assert np.abs(decoded.astype(int) - (255 - rgb_picture(1))).mean() < 6
    pairs = bench.settle()
    assert pairs["published"] == len(fused)
    bench.check_sums()
    values = bench.part("output").values
    assert float(values["latency_arrival_ms.p99"]) >= float(values["latency_arrival_ms.p50"]) > 0
    assert float(values["latency_stamp_ms.p50"]) != 0
    assert float(values["stage_ms.engine"]) == 1.0
    assert bench.part("engine").values["name"] == "fake"
    assert bench.part("engine").values["refused.0"] == "faster: not here"
    assert bench.part("rgb").values["image"] == "rgb8 64x48"
    assert bench.part("pairs").name == "fusion_node: pairs"
    assert bench.part("pairs").hardware_id == "/fusion_node"


def test_without_a_subscriber_nothing_is_fused_and_work_starts_with_the_first(bench):
    bench.node()
    cameras = bench.cameras()
    cameras.stream_until(
        lambda: int(bench.part("pairs").values.get("dropped.no_subscriber", 0)) >= 3,
        "pairs that nobody wanted",
    )
    assert bench.pipeline.processed == []
    fused = bench.listen(Image, "/fused/image_raw")
    cameras.stream_until(lambda: len(fused) >= 2, "fused images")
    bench.helper.destroy_subscription(bench.subscription)
    del fused[:]
    cameras.stream_until(lambda: bench.part("output").values["subscribers"] == "0", "the subscriber gone")
    bench.settle()
    done = len(bench.pipeline.processed)
    for _ in range(3):
        cameras.pair()
    bench.settle()
    assert len(bench.pipeline.processed) == done
    bench.check_sums()


def test_newest_pair_is_preferred_while_the_engine_is_busy(bench):
    bench.node()
    fused = bench.listen(Image, "/fused/image_raw")
    cameras = bench.cameras()
    cameras.stream_until(lambda: fused, "the first fused image")
    bench.settle()
    before = len(fused)
    bench.pipeline.gate.clear()
    cameras.stream_until(
        lambda: int(bench.part("pairs").values.get("dropped.superseded", 0)) >= 3, "superseded pairs"
    )
    bench.pipeline.gate.set()
    bench.settle()
    bench.until(lambda: len(fused) == before + 2, "the pair in the engine and the newest")
    pairs = [int(bench.part("pairs").values[key]) for key in ("pairs_in", "published", "dropped.superseded")]
    assert pairs[0] == pairs[1] + pairs[2]
    bench.check_sums()


BAD_RGB = {
    "short_data": {"data": array.array("B", bytes(10))},
    "encoding": {"encoding": "bgr88"},
    "empty": {"height": 0, "width": 0, "data": array.array("B")},
    "step": {"step": 1},
}


def test_bad_messages_are_counted_reported_logged_once_and_skipped(bench):
    bench.node(input__watchdog_s=30.0)
    fused = bench.listen(Image, "/fused/image_raw")
    cameras = bench.cameras()
    cameras.stream_until(lambda: fused, "the first fused image")
    for changes in BAD_RGB.values():
        for _ in range(3):
            cameras.stamp += cameras.period
            cameras.send(cameras.rgb, image(rgb_picture(), "rgb8", cameras.stamp, **changes))
            cameras.wait_received()
    cameras.send(cameras.thermal, image(np.zeros((H, W, 3), np.float32), "32FC3", cameras.stamp))
    counted = {f"unused.{reason}" for reason in BAD_RGB}
    bench.until(lambda: counted <= bench.part("rgb").values.keys(), "the bad images counted")
    bench.fresh_report()
    assert all(bench.part("rgb").values[key] == "3" for key in counted)
    assert bench.part("thermal").values["unused.encoding"] == "1"
    assert bench.part("rgb").level == WARN
    assert "step is 1" in bench.part("rgb").message
    for words in ("10 bytes of data", "'bgr88' is not understood", "0x0 pixels", "step is 1", "32FC3"):
        assert sum(words in line for line in bench.log) == 1, words
    before = len(fused)
    cameras.stream_until(lambda: len(fused) >= before + 2, "fused images after the bad ones")
    bench.fresh_report()
    assert bench.part("rgb").level == OK
    bench.check_sums()


def test_size_may_change_in_mid_stream(bench):
    bench.node()
    fused = bench.listen(Image, "/fused/image_raw")
    cameras = bench.cameras()
    for height, width in ((48, 64), (96, 128), (48, 64)):
        del fused[:]
        cameras.stream_until(
            lambda height=height: any(one.height == height for one in fused),
            "an image of the new size",
            height=height,
            width=width,
        )
        (newest,) = [one for one in fused if one.height == height][-1:]
        np.testing.assert_array_equal(pixels(newest), 255 - rgb_picture(1, height, width))
    bench.settle()
    assert int(bench.part("rgb").values["size_changes"]) == 2
    bench.check_sums()


def test_pairs_the_pipeline_refuses_are_reported_and_the_node_goes_on(bench):
    bench.node()
    fused = bench.listen(Image, "/fused/image_raw")
    cameras = bench.cameras()
    bench.pipeline.fault = InputError("thermal frame: 16-bit pixels cannot be agc8")
    cameras.pair()
    cameras.stream_until(lambda: fused, "a fused image")
    bench.settle()
    assert bench.part("pairs").values["dropped.refused"] == "1"
    assert sum("16-bit pixels cannot be agc8" in line for line in bench.log) == 1


def test_compressed_inputs(bench):
    bench.node(input__transport="compressed", thermal__kind="counts")
    fused = bench.listen(Image, "/fused/image_raw")
    cameras = bench.cameras(CompressedImage)
    deep = (np.arange(H * W, dtype=np.uint16) * 13).reshape(H, W)
    jpeg = cv2.imencode(".jpg", rgb_picture(40)[:, :, ::-1])[1].tobytes()
    png = cv2.imencode(".png", deep)[1].tobytes()

    def publish():
        cameras.stamp += cameras.period
        for publisher, kind, data in (
            (cameras.rgb, "rgb8; jpeg compressed bgr8", jpeg),
            (cameras.thermal, "mono16; png compressed ", png),
        ):
            message = CompressedImage(format=kind, data=array.array("B", data))
            message.header.stamp.sec, message.header.stamp.nanosec = divmod(cameras.stamp, NS)
            cameras.send(publisher, message)

    while len(fused) < 2:
        publish()
        bench.executor.spin_once(timeout_sec=0.02)
    np.testing.assert_array_equal(bench.pipeline.processed[-1].thermal.image, deep)
    assert np.abs(pixels(fused[-1]).astype(int) - (255 - rgb_picture(40))).mean() < 6
    lost = CompressedImage(format="mono16; jpeg compressed mono8", data=array.array("B", jpeg))
    cameras.send(cameras.thermal, lost)
    bench.until(lambda: bench.part("thermal").values.get("unused.jpeg_16bit") == "1", "the JPEG refused")
    bench.check_sums()


def test_missing_partner_is_explained_once_with_topic_remapping_and_remedy(bench):
    bench.node(arguments=("-r", "thermal/image_raw:=/boson/image_raw"), input__watchdog_s=1.0)
    bench.helper.create_publisher(Image, "/flir/image", 1)
    rgb = bench.publisher(Image, "rgb/image_raw")
    stamp = bench.helper.get_clock().now().nanoseconds

    def told():
        nonlocal stamp
        stamp += 33_000_000
        rgb.publish(image(rgb_picture(), "rgb8", stamp))
        return any("/boson/image_raw" in line and "nothing publishes" in line for line in bench.log)

    bench.until(told, "a warning")
    (line,) = [line for line in bench.log if "no images on" in line]
    assert "/boson/image_raw (remapped from thermal/image_raw)" in line
    assert "/flir/image" in line
    assert "/fused/image_raw" not in line
    bench.until(lambda: told() and bench.part("thermal").level == ERROR, "the error in the diagnostics")
    assert "stale" in bench.part("thermal").message
    assert bench.part("rgb").level == OK
    seen = len(bench.reports)
    bench.until(lambda: told() and len(bench.reports) > seen + 5, "more reports")
    assert sum("no images on" in line for line in bench.log) == 1
    boson = bench.publisher(Image, "/boson/image_raw")
    boson.publish(image(thermal_picture(), "mono8", stamp))
    bench.until(lambda: any("thermal images arrive" in line for line in bench.log), "the all-clear")


@pytest.mark.parametrize(
    ("kind", "topic", "words"),
    [
        (CompressedImage, "rgb/image_raw/compressed", "set input.transport to compressed"),
        (CompressedImage, "rgb/image_raw", "it carries sensor_msgs/msg/CompressedImage"),
        (Image, "rgb/image_raw", "1 publisher(s), but nothing comes"),
    ],
)
def test_silence_is_explained_by_what_the_graph_shows(bench, kind, topic, words):
    stranger = bench.stranger()
    stranger.create_publisher(kind, topic, 1)
    bench.until(lambda: bench.helper.count_publishers(f"/{topic}"), "the publisher on the graph")
    bench.node()
    bench.until(lambda: any("/rgb/image_raw" in line and words in line for line in bench.log), words)


def test_incompatible_qos_is_named_with_the_parameter_that_mends_it(bench):
    bench.node(**{"qos_overrides./rgb/image_raw.subscription.reliability": "reliable"})
    bench.helper.create_publisher(Image, "rgb/image_raw", qos_profile_sensor_data)
    words = "set qos_overrides./rgb/image_raw.subscription.reliability"
    bench.until(lambda: any(words in line for line in bench.log), "a line about QoS")
    bench.until(lambda: words in bench.part("rgb").message, "the same in the diagnostics")


def test_a_misspelt_qos_is_told_with_the_words_there_are(bench):
    node = bench.node(start=False, **{"qos_overrides./rgb/image_raw.subscription.reliability": "besteffort"})
    assert not node.start()
    (line,) = [line for line in bench.log if "besteffort" in line]
    assert line.startswith("qos_overrides./rgb/image_raw.subscription: ")
    assert line.endswith("durability: volatile, transient_local")


def test_a_publisher_with_another_qos_that_has_gone_is_no_longer_complained_of(bench):
    bench.node(**{"qos_overrides./rgb/image_raw.subscription.reliability": "reliable"})
    best_effort = bench.helper.create_publisher(Image, "rgb/image_raw", qos_profile_sensor_data)
    bench.until(lambda: "reliability" in bench.part("rgb").message, "the diagnostics")
    bench.helper.destroy_publisher(best_effort)
    cameras = bench.cameras()
    cameras.stream_until(lambda: bench.part("rgb").level == OK, "the camera that was started anew")


def test_a_camera_info_that_was_sent_once_arrives_where_durability_is_overridden(bench):
    once = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    latched = bench.helper.create_publisher(CameraInfo, "rgb/camera_info", once)
    latched.publish(CameraInfo(height=H, width=W, k=[500.0, 0, 32, 0, 500, 24, 0, 0, 1]))
    bench.node(
        **{
            "qos_overrides./rgb/camera_info.subscription.durability": "transient_local",
            "qos_overrides./rgb/camera_info.subscription.reliability": "reliable",
        }
    )
    bench.until(lambda: bench.nodes[0]._fuser.camera_info is not None, "the camera_info")


def test_qos_of_every_topic_can_be_overridden(bench):
    node = bench.node(
        **{
            "qos_overrides./thermal/image_raw.subscription.reliability": "reliable",
            "qos_overrides./fused/image_raw.publisher.reliability": "best_effort",
        }
    )
    (thermal,) = node.get_subscriptions_info_by_topic("/thermal/image_raw")
    (rgb,) = node.get_subscriptions_info_by_topic("/rgb/image_raw")
    (fused,) = node.get_publishers_info_by_topic("/fused/image_raw")
    (jpeg,) = node.get_publishers_info_by_topic("/fused/image_raw/compressed")
    assert thermal.qos_profile.reliability == ReliabilityPolicy.RELIABLE
    assert rgb.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT
    assert fused.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT
    assert jpeg.qos_profile.reliability == ReliabilityPolicy.RELIABLE
    names = node.get_parameters_by_prefix("qos_overrides")
    for topic in (
        "/rgb/camera_info.subscription",
        "/fusion_node/prompt.subscription",
        "/fused/camera_info.publisher",
        "/diagnostics.publisher",
    ):
        assert f"{topic}.depth" in names


def test_prompt_topic_sets_refuses_and_clears(bench):
    bench.node(fusion__prompt="dog")
    prompts = bench.publisher(String, "fusion_node/prompt", QoSProfile(depth=1))
    prompts.publish(String(data="two people"))
    bench.until(lambda: bench.pipeline.prompt == "two people", "the prompt")
    prompts.publish(String(data="florble"))
    bench.until(
        lambda: any("prompt refused" in line and "florble" in line for line in bench.log), "a refusal"
    )
    assert bench.pipeline.prompt == "two people"
    prompts.publish(String(data=""))
    bench.until(lambda: bench.pipeline.prompt == "dog", "the parameter's prompt again")


def test_images_without_a_stamp_are_paired_by_arrival(bench):
    bench.node(sync__tolerance_s=0.2)
    fused = bench.listen(Image, "/fused/image_raw")
    cameras = bench.cameras()
    while not fused:
        cameras.send(cameras.rgb, image(rgb_picture(3), "rgb8", 0))
        cameras.send(cameras.thermal, image(thermal_picture(3), "mono8", 0))
        bench.executor.spin_once(timeout_sec=0.02)
    assert stamp_of(fused[0]) > 1_600_000_000 * NS
    bench.fresh_report()
    assert int(bench.part("rgb").values["stamped_on_arrival"]) >= 1
    assert sum("carry no stamp" in line for line in bench.log) == 2  # one per camera


def test_a_looping_recording_with_simulated_time_gives_the_same_pairs_in_every_loop(bench):
    bench.node(use_sim_time=True)
    fused = bench.listen(Image, "/fused/image_raw")
    cameras = bench.cameras()
    clock = bench.publisher(Clock, "/clock", 10)
    start, frames, loops = 1000 * NS, 12, 3
    for _loop in range(loops):
        for k in range(frames):
            now = start + k * 100_000_000
            message = Clock()
            message.clock.sec, message.clock.nanosec = divmod(now, NS)
            clock.publish(message)
            bench.until(lambda now=now: bench.nodes[0].get_clock().now().nanoseconds == now, "the clock")
            cameras.stamp, cameras.period = now, 0
            cameras.pair(k)
            cameras.wait_received()
    # The clock goes on after the last frame, so that the last pair becomes certain.
    message.clock.sec += 5
    clock.publish(message)
    bench.until(
        lambda: int(bench.part("pairs").values.get("pairs_in", 0)) == loops * frames,
        "every pair of every loop",
    )
    pairs = bench.settle()
    # Played this fast, some pairs come while the engine is busy.
    assert pairs["published"] + pairs.get("dropped.superseded", 0) == loops * frames
    assert {stamp_of(one) for one in fused} <= {start + k * 100_000_000 for k in range(frames)}
    assert int(bench.part("sync").values["clock_jumps"]) >= loops - 1
    # At activation, and for a jump back; for both of them unless every pair of the loop between was superseded.
    assert bench.pipeline.resets >= 2
    bench.check_sums()


def test_simulated_time_that_does_not_begin_is_pointed_out(bench):
    bench.node(use_sim_time=True)
    words = "nothing has come on /clock"
    bench.until(lambda: any(words in line for line in bench.log), "a line in the log")
    bench.until(lambda: words in bench.part("sync").message, "the diagnostics")


def test_a_clock_that_goes_back_again_and_again_does_not_fill_the_log(bench):
    """As two publishers on /clock do: a bag that holds it, played with --clock."""
    bench.node(use_sim_time=True)
    clock = bench.publisher(Clock, "/clock", 10)
    for k in range(10):
        for now in ((1000 + k) * NS, (1000 + k) * NS - 3_000_000):
            message = Clock()
            message.clock.sec, message.clock.nanosec = divmod(now, NS)
            clock.publish(message)
            bench.until(lambda now=now: bench.nodes[0].get_clock().now().nanoseconds == now, "the clock")
    bench.fresh_report()
    assert int(bench.part("sync").values["clock_jumps"]) >= 10
    assert sum("time jumped" in line for line in bench.log) < 5


def test_images_that_never_pair_are_pointed_out_until_they_do(bench):
    """As where a driver stamps every image alike."""
    bench.node(input__watchdog_s=30.0)
    fused = bench.listen(Image, "/fused/image_raw")
    cameras = bench.cameras()
    first = cameras.stamp
    words = "none of them make a pair"
    while words not in bench.part("sync").message:
        cameras.stamp += cameras.period
        cameras.send(cameras.rgb, image(rgb_picture(), "rgb8", cameras.stamp))
        cameras.send(cameras.thermal, image(thermal_picture(), "mono8", first - 10 * NS))
        cameras.wait_received()
    assert bench.part("sync").level == WARN
    bench.until(lambda: any(words in line for line in bench.log), "a line in the log")
    cameras.stream_until(lambda: fused, "a fused image")
    bench.fresh_report()
    assert words not in bench.part("sync").message


def test_a_frame_that_wakes_the_node_and_finds_no_partner_is_counted(bench):
    node = bench.node(sync__wait_s=0.05)
    bench.until(node._expiring.is_canceled, "the node at rest")
    cameras = bench.cameras()
    cameras.send(cameras.rgb, image(rgb_picture(), "rgb8", cameras.stamp))
    bench.until(lambda: bench.part("rgb").values.get("unused.expired") == "1", "the frame counted")
    bench.check_sums()


def test_an_engine_that_cannot_be_built_is_reported_until_it_can(bench):
    bench.node()
    bench.listen(Image, "/fused/image_raw")
    cameras = bench.cameras()
    bench.pipeline.fault = EngineError("engine: no backend works for 64x48: torch: out of memory")
    cameras.pair(1)
    bench.settle()
    bench.until(lambda: bench.part("engine").level == ERROR, "the failure")
    told = "building the engine for 64x48 failed: engine: no backend works for 64x48: torch: out of memory; "
    assert bench.part("engine").message == told + "there is no other"
    assert bench.part("engine").values["state"] == bench.part("engine").message
    cameras.pair(2)
    bench.until(lambda: bench.part("engine").level == OK, "the engine")
    assert bench.part("engine").values["state"] == "ready"


def test_shutter_and_a_slow_engine_are_reported(bench, monkeypatch):
    monkeypatch.setattr(report, "STUCK_S", 0.0)
    bench.node()
    fused = bench.listen(Image, "/fused/image_raw")
    cameras = bench.cameras()
    bench.pipeline.gate.clear()
    cameras.stream_until(
        lambda: "building the engine for 64x48" in bench.part("engine").message, "the engine being built"
    )
    assert bench.part("engine").level == OK
    bench.pipeline.frozen = True
    bench.pipeline.gate.set()
    cameras.stream_until(lambda: fused and bench.part("shutter").level == WARN, "a frozen camera")
    assert bench.part("shutter").values["frozen"] == "true"
    bench.pipeline.gate.clear()
    cameras.stream_until(lambda: "stuck" in bench.part("engine").message, "the engine stuck")
    assert bench.part("engine").level == ERROR
    bench.pipeline.frozen = False
    bench.pipeline.gate.set()
    cameras.stream_until(lambda: bench.part("shutter").level == OK, "the shutter open")
