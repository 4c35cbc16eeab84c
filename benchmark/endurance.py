"""`python -m benchmark.endurance SOURCE --minutes 10`: does the node's memory grow, and how much comes out of it.

Loops a recording through the node over DDS (`thermal-fusion replay`), listens to fused pictures, depth and clouds, and
fits a line to the node's resident memory, without the first quarter. With --offline the same pipeline without ROS. More
options are `replay`'s: --rate, --clip, --set ...
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from thermal_fusion_ros import dds
from thermal_fusion_ros.depth_stage import pinhole
from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.evaluation.frame_path import CAMERA_HEIGHT_M, HORIZONTAL_FOV_DEG
from thermal_fusion_ros.evaluation.peaks import rss_mb

EVERY_S = 2.0  # between two looks at the memory
FOREVER = 1_000_000
PATIENCE_S = 1200.0  # until the first picture: an engine may be built
STOP_S = 60.0


class Outputs(Protocol):
    """What is heard of a node: how often by topic."""

    heard: dict[str, int]

    def spin(self, seconds: float) -> None:
        """Let messages in."""
        ...


class Silence:
    """Offline there is nothing to hear."""

    def __init__(self) -> None:
        self.heard: dict[str, int] = {}

    def spin(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


class Listener:
    """Subscribes to what a robot would, and says what lens the pictures are taken with: clouds need one."""

    def __init__(self, node: Any) -> None:
        from sensor_msgs.msg import CameraInfo, Image, PointCloud2

        self.heard = {"fused/image_raw": 0, "depth/image_raw": 0, "points": 0}
        self._node, self._info = node, node.create_publisher(CameraInfo, "rgb/camera_info", 10)
        for topic in self.heard:
            kind = PointCloud2 if topic == "points" else Image
            node.create_subscription(kind, topic, lambda message, topic=topic: self._hear(topic, message), 5)

    def spin(self, seconds: float) -> None:
        """Let messages in."""
        import rclpy

        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            rclpy.spin_once(self._node, timeout_sec=left)

    def _hear(self, topic: str, message: Any) -> None:
        if topic == "fused/image_raw" and self.heard[topic] % 100 == 0:
            lens = pinhole(message.width, message.height, HORIZONTAL_FOV_DEG).k
            info = self._info.msg_type()
            info.header, info.width, info.height = message.header, message.width, message.height
            info.distortion_model, info.d = "plumb_bob", [0.0] * 5
            info.k, info.r = lens.ravel().tolist(), np.eye(3).ravel().tolist()
            info.p = np.hstack([lens, np.zeros((3, 1))]).ravel().tolist()
            self._info.publish(info)
        self.heard[topic] += 1


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; bad input is one line and code 2."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmark.endurance", description=__doc__.splitlines()[0]
    )
    parser.add_argument("source", metavar="SOURCE", help="a recording, as for `thermal-fusion replay`")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--offline", action="store_true", help="the same pipeline without ROS")
    parser.add_argument("--json", type=Path, metavar="FILE", help="the numbers and all samples")
    args, of_replay = parser.parse_known_args(argv)
    try:
        result = endure(args.source, args.minutes, of_replay, offline=args.offline)
    except InputError as error:
        print(f"benchmark.endurance: {error}", file=sys.stderr)
        return 2
    if args.json:
        args.json.write_text(json.dumps(result, indent=2))
    rates = ", ".join(f"{topic} {rate:.1f} Hz" for topic, rate in result["output_hz"].items())
    print(
        f"{result['minutes']:.1f} minutes: memory {result['first_mb']:.0f} -> {result['last_mb']:.0f} MB, "
        f"{result['slope_mb_per_minute']:+.2f} MB/min" + (f"; {rates}" if rates else "")
    )
    return 0


def endure(source: str, minutes: float, of_replay: Sequence[str], *, offline: bool) -> dict[str, Any]:
    """Play for as long and watch; :class:`InputError` when the replay ends by itself."""
    command = [sys.executable, "-m", "thermal_fusion_ros.cli.main", "replay", source, "--loop", str(FOREVER)]
    command += [
        f"--set=depth.camera_height_m={CAMERA_HEIGHT_M}",
        *of_replay,
        *(["--offline"] if offline else []),
    ]
    with ExitStack() as stack:
        outputs: Outputs = Silence() if offline else stack.enter_context(_listening())
        player = stack.enter_context(_playing(command))
        watched = _wait_until_it_works(player, outputs, offline=offline)
        begun, before = time.monotonic(), dict(outputs.heard)
        samples: list[tuple[float, float]] = []
        while (elapsed := time.monotonic() - begun) < 60 * minutes:
            _check(player)
            samples.append((elapsed, rss_mb(watched)))
            outputs.spin(EVERY_S)
        rates = {topic: (count - before[topic]) / elapsed for topic, count in outputs.heard.items()}
    kept = np.array(samples[len(samples) // 4 :])
    return {
        "minutes": elapsed / 60,
        "first_mb": float(kept[0, 1]),
        "last_mb": float(kept[-1, 1]),
        "slope_mb_per_minute": slope(kept),
        "output_hz": rates,
        "samples": samples,
    }


def slope(samples: np.ndarray) -> float:
    """Of the line through (seconds, MB) by least squares, MB per minute."""
    return float(60 * np.polyfit(samples[:, 0], samples[:, 1], 1)[0])


def _wait_until_it_works(player: subprocess.Popen[bytes], outputs: Outputs, *, offline: bool) -> int:
    """The process to watch, once pictures come; offline, once its engine has been built and memory stands still."""
    end = time.monotonic() + PATIENCE_S
    last = 0.0
    while time.monotonic() < end:
        _check(player)
        outputs.spin(EVERY_S)
        if not offline and outputs.heard["fused/image_raw"] > 20:
            return _node_of(player.pid)
        if offline:
            now = rss_mb(player.pid)
            if now > 500.0 and abs(now - last) < 1.0:
                return player.pid
            last = now
    raise InputError(f"no picture within {PATIENCE_S:.0f} s")


def _node_of(parent: int) -> int:
    """The fusion node that `replay` has started."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            its_parent = int(path.read_text().rpartition(")")[2].split()[1])
            command = (path.parent / "cmdline").read_bytes()
        except OSError:
            continue  # ended meanwhile
        if its_parent == parent and b"fusion_node" in command:
            return int(path.parent.name)
    raise InputError("replay has no node of its own to watch")


def _check(player: subprocess.Popen[bytes]) -> None:
    if player.poll() is not None:
        raise InputError(f"replay ended by itself with code {player.returncode}")


@contextmanager
def _playing(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    player = subprocess.Popen(command, env=dds.environment())
    try:
        yield player
    finally:
        player.send_signal(signal.SIGINT)
        player.wait(STOP_S)


@contextmanager
def _listening() -> Iterator[Listener]:
    os.environ.update(dds.environment())
    import rclpy

    rclpy.init()
    node = rclpy.create_node("endurance")
    try:
        yield Listener(node)
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == "__main__":
    sys.exit(main())
