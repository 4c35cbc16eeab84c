"""A pipeline that shows what it was asked, and messages for it. Needs no ROS."""

from __future__ import annotations

import array
import threading
import time
from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np

from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.frames import FramePair, Perception
from thermal_fusion_ros.language.guide import Guide
from thermal_fusion_ros.language.vocabulary import Vocabulary

H, W = 48, 64
PATIENCE_S = 60.0  # no test waits this long unless something is broken


class FakePipeline:
    """Gives back the inverted colour image. `gate` holds it up, `fault` is raised once.

    The language worker is held up from `hang_language` until `release_language`, and raises `language_fault`.
    """

    def __init__(self, config):
        self.config = config
        self.counters, self.thermal_counters = Counter(), Counter()
        self.engine_name, self.engine_refused = "fake", ["faster: not here"]
        self.prompt = config.fusion.prompt
        self.check_prompt(self.prompt)
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)
        self.fault: Exception | None = None
        self.frozen = False
        self.processed: list[FramePair] = []
        self.prepared: list[tuple[int, int]] = []
        self.updates = []
        self.registration, self.registration_counters = {}, Counter()
        self.rigs = []
        self.wanted = frozenset()
        self.wants = []  # what was wanted of every pair
        self.guidance = None
        self.codes = []  # what guided every pair
        self.language_fault: Exception | None = None
        self._language_gates = []
        self.release_language()
        self.depth: dict = {}  # further fields of every Perception from now on
        self.range_points = []
        self.downs = []
        self.resets = 0

    def process(self, pair):
        self.entered.release()
        assert self.gate.wait(PATIENCE_S)
        fault, self.fault = self.fault, None
        if fault is not None:
            raise fault
        self.processed.append(pair)
        self.wants.append(self.wanted)
        self.codes.append(None if self.guidance is None else self.guidance())
        return Perception(
            stamp_ns=pair.rgb.stamp_ns,
            frame_id=pair.rgb.frame_id,
            fused=255 - pair.rgb.image,
            thermal=np.zeros(pair.rgb.image.shape[:2], np.uint8),
            frozen=self.frozen,
            stage_ms={"engine": 1.0},
            **self.depth,
        )

    def prepare(self, height, width):
        self.prepared.append((height, width))

    def check_prompt(self, text):
        if "florble" in text:
            raise InputError("prompt: `florble` not in the vocabulary")

    def set_prompt(self, text):
        self.check_prompt(text)
        self.prompt = text

    def guide(self):
        guide = Guide(Vocabulary(("person", "car"), np.eye(2, 64, dtype=np.float32)))

        def work(job):
            assert self._language_gates[-1].wait(PATIENCE_S)
            if self.language_fault is not None:
                raise self.language_fault
            return guide(job)

        return work

    def hang_language(self):
        self._language_gates.append(threading.Event())

    def release_language(self):
        self.hang_language()
        for gate in self._language_gates:
            gate.set()

    def update(self, config):
        self.updates.append(config)
        self.config = config
        self.prompt = config.fusion.prompt

    def set_rig(self, rig, problem, rgb):
        self.rigs.append((rig, problem))

    def set_down(self, down):
        self.downs.append(down)

    def set_range_points(self, points, stamp_ns):
        self.range_points.append((points, stamp_ns))

    def reset(self):
        self.resets += 1


def wait_until(condition: Callable[[], object], what: str, step: Callable[[], object] | None = None) -> None:
    """Return when `condition` holds; `step` is called between looks (default: a short sleep)."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for: {what}"
        if step is None:
            time.sleep(0.002)
        else:
            step()


def fields(image, encoding, stamp_ns=0, frame_id="cam"):
    """The fields of an Image message that holds `image`."""
    sec, nanosec = divmod(stamp_ns, 1_000_000_000)
    return {
        "header": SimpleNamespace(stamp=SimpleNamespace(sec=sec, nanosec=nanosec), frame_id=frame_id),
        "height": image.shape[0],
        "width": image.shape[1],
        "encoding": encoding,
        "is_bigendian": 0,
        "step": image.nbytes // image.shape[0],
        "data": array.array("B", np.ascontiguousarray(image).tobytes()),
    }


def rgb_picture(value=0, height=H, width=W):
    y, x = np.mgrid[:height, :width]
    return np.stack([x, y, np.full_like(x, value)], axis=-1).astype(np.uint8)


def thermal_picture(value=0, height=H, width=W):
    return np.full((height, width), value, np.uint8)
