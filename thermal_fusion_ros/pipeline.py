"""The whole online path, top to bottom: a pair of frames in, what the robot perceives out.

No ROS here: the node, the offline replay and the folder fusion all run this same object.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from thermal_fusion_ros.config import Config, DepthConfig, FusionConfig
from thermal_fusion_ros.depth_stage import DepthStage
from thermal_fusion_ros.engine.base import Engine, Outputs, build
from thermal_fusion_ros.errors import FrozenError, InputError
from thermal_fusion_ros.frames import CAPTION, DEPTH, FUSED, OBJECTS, POINTS, FramePair, Perception
from thermal_fusion_ros.geometry.depth_filter import enlarged
from thermal_fusion_ros.language.guide import Guide, Job, make_guide, wants_clip
from thermal_fusion_ros.models.checkpoint import (
    load_depth,
    load_fusion,
    load_objects,
    shipped,
    trunk_for,
)
from thermal_fusion_ros.models.depth import DepthNet
from thermal_fusion_ros.models.external_depth import ExternalDepth
from thermal_fusion_ros.models.graph import PerceptionGraph, padded
from thermal_fusion_ros.models.guidance import CODE_DIM
from thermal_fusion_ros.models.small import small
from thermal_fusion_ros.object_stage import detect, place
from thermal_fusion_ros.sensing.camera import CalibrationError, CameraModel, Floats
from thermal_fusion_ros.sensing.registration import Registrar
from thermal_fusion_ros.sensing.rig import Rig
from thermal_fusion_ros.sensing.seam import FULLY, evened
from thermal_fusion_ros.sensing.thermal import SHOWS_NOTHING, ThermalProcessor

log = logging.getLogger(__name__)

ENGINES_KEPT = 4  # sizes in use at once; folders of pictures come in many
SMALLEST = 16  # pixels; below this there is nothing to see


class Prepared:
    """An engine for one padded size, with the buffers that smaller images are padded into."""

    def __init__(self, graph: PerceptionGraph, height: int, width: int, config: Config) -> None:
        self.height, self.width = height, width
        self.engine: Engine
        self.engine, self.refused = build(graph, height, width, config.engine)
        self.rgb = np.empty((height, width, 3), np.uint8)
        self.thermal = np.empty((height, width), np.uint8)

    def run(self, rgb: NDArray[np.uint8], thermal: NDArray[np.uint8], code: NDArray[np.float32]) -> Outputs:
        """The graph's outputs, cropped to the size of `rgb`; padding mirrors the border, so it leaves no seam."""
        height, width = thermal.shape
        outputs = self.engine.run(self._pad(rgb, self.rgb), self._pad(thermal, self.thermal), code)
        for name, image in outputs.items():
            rows, columns = image.shape[:2]  # depth and objects are smaller than the picture
            outputs[name] = image[
                : max(1, round(height * rows / self.height)), : max(1, round(width * columns / self.width))
            ]
        if width != self.width and "depth" in outputs:  # its unit is that of the width the network saw
            outputs["depth"] = outputs["depth"] * np.float32(width / self.width)
        return outputs

    def _pad(self, image: NDArray[np.uint8], buffer: NDArray[np.uint8]) -> NDArray[np.uint8]:
        bottom, right = self.height - image.shape[0], self.width - image.shape[1]
        if not (bottom or right):
            return np.ascontiguousarray(image)
        cv2.copyMakeBorder(image, 0, bottom, 0, right, cv2.BORDER_REFLECT_101, dst=buffer)
        return buffer


def blend(ours: NDArray[np.uint8], theirs: NDArray[np.uint8], weight: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """`ours` where `weight` (H×W) is 255, `theirs` where it is 0, a smooth passage between; H×W or H×W×3."""
    if weight.min() == FULLY:
        return ours
    share = weight.astype(np.float32) / FULLY
    return np.asarray(cv2.blendLinear(np.ascontiguousarray(ours), theirs, share, 1 - share), np.uint8)


def _fusion_weights(config: FusionConfig) -> Path:
    if config.weights:
        return Path(config.weights)
    return shipped("cross_attention" if config.model == "small" else config.model)


def _depth_network(config: DepthConfig) -> tuple[DepthNet | None, ExternalDepth | None]:
    """The network for the graph, or the one that runs beside it, or neither."""
    if not config.enabled:
        return None, None
    if config.model and not config.model.endswith(".safetensors"):
        return None, ExternalDepth(config.model)
    return load_depth(Path(config.model) if config.model else shipped("depth_fused")).model, None


class Pipeline:
    """Turns :class:`FramePair` into :class:`Perception`. Used by one thread at a time.

    `counters` says how often something was out of the ordinary; `engine_name` what runs the network and
    `engine_refused` why a faster backend does not. `guidance`, where it is set, gives the guidance code (64,) of pairs
    that no prompt of known words guides; it is asked for every such pair and must not wait.
    """

    def __init__(self, config: Config, *, language_worker: bool = False) -> None:
        """Load the weights. Raises :class:`InputError` when they cannot be read or the prompt is not understood.

        `language_worker`: there is one, and what prompts of other words than the vocabulary's mean comes through
        `guidance`; otherwise CLIP, if there are weights, encodes them at once, which takes seconds.
        """
        self.config = config
        self.guidance: Callable[[], NDArray[np.float32]] | None = None
        self._language_worker = language_worker
        weights = load_fusion(_fusion_weights(config.fusion))
        self.vocabulary = weights.vocabulary
        self._projection = weights.model.guidance
        network, self._external = _depth_network(config.depth)
        head = trunk = None
        if config.objects.enabled:
            found = load_objects(
                Path(config.objects.weights) if config.objects.weights else shipped("objects")
            )
            head, trunk = found.model, trunk_for(found, weights)
        fusion = small(weights.model) if config.fusion.model == "small" else weights.model
        self.graph = PerceptionGraph(fusion, network, head, trunk).eval()
        self._prepared: OrderedDict[tuple[int, int], Prepared] = OrderedDict()
        self._thermal = ThermalProcessor(config.thermal)
        self._registrar = Registrar(config.registration)
        self._depth = None
        if config.depth.enabled:
            metric = self._external is not None and self._external.metric
            self._depth = DepthStage(config.depth, own=self._external is None, metric=metric)
        self._camera: CameraModel | None = None
        self._tell_cameras(None)
        self.wanted: frozenset[str] = frozenset({FUSED, DEPTH, POINTS, OBJECTS})
        self._resized = np.empty((0, 0), np.uint8)
        self._sizes_warned: set[tuple[int, ...]] = set()
        self._empty_warned = False
        self.set_prompt(config.fusion.prompt)
        self.counters: Counter[str] = Counter()
        self.registration: dict[str, Any] = {}  # level, confidence and drift_px of the last registered pair
        self.engine_name = "none yet"
        self.engine_refused: list[str] = []

    @property
    def prompt(self) -> str:
        """The text that guides fusion now; empty for none."""
        return self._prompt

    @property
    def thermal_counters(self) -> Counter[str]:
        """What happened to thermal frames (see ThermalProcessor)."""
        return self._thermal.counters

    def check_prompt(self, text: str) -> None:
        """:class:`InputError` if `text` is not understood. Changes nothing; any thread may call it."""
        self._code_of(text)

    def set_prompt(self, text: str) -> None:
        """Guide fusion by `text`; empty for none. :class:`InputError` leaves the old one in force."""
        code = self._code_of(text)
        self._prompt, self._code = text.strip(), code

    def guide(self) -> Guide:
        """What a language worker works with. Takes seconds where there is CLIP; any thread may call it."""
        return make_guide(self.config.language, self.vocabulary, self._projection)

    def _code_of(self, prompt: str) -> NDArray[np.float32] | None:
        """The guidance code of a prompt; None where it will come by `guidance`."""
        try:
            return self.vocabulary.code(prompt)
        except InputError:
            if not wants_clip(self.config.language):
                raise
        if self._language_worker:
            return None
        thought = self.guide()(Job(None, prompt))
        if thought.refused:
            raise InputError(thought.why_refused)
        return thought.code

    def _guidance(self) -> NDArray[np.float32]:
        """The code for the next pair."""
        if self._prompt and self._code is not None:
            return self._code
        return np.zeros(CODE_DIM, np.float32) if self.guidance is None else self.guidance()

    def update(self, config: Config) -> None:
        """Apply live parameters; the others were read at construction."""
        if config.fusion.prompt != self.config.fusion.prompt:
            self.set_prompt(config.fusion.prompt)
        if config.thermal != self.config.thermal:
            self._thermal.update(config.thermal)
        if self._depth is not None and config.depth != self.config.depth:
            self._depth.update(config.depth)
        self.config = config

    def reset(self) -> None:
        """Forget everything that was learned from earlier frames: a new recording, or the clock jumped."""
        self._thermal.reset()
        self._registrar.reset()
        if self._depth is not None:
            self._depth.reset()

    def set_rig(
        self, rig: Rig | None, problem: CalibrationError | None = None, rgb: CameraModel | None = None
    ) -> None:
        """Calibration from outside, or what is missing or wrong with it (see Registrar); `rgb` if only it is known."""
        self._registrar.set_rig(rig, problem)
        self._tell_cameras(rgb)

    def set_down(self, down: Floats | None) -> None:
        """Down (3,) in the optical frame of the RGB camera, by TF."""
        if self._depth is not None:
            self._depth.set_down(down)

    def set_range_points(self, points: NDArray[np.float32], stamp_ns: int) -> None:
        """N×3 metres in the RGB optical frame that a range sensor has measured; a source of scale for the next pair."""
        if self._depth is not None:
            self._depth.set_range_points(points, stamp_ns)

    def _tell_cameras(self, rgb: CameraModel | None) -> None:
        rig = self._registrar.rig
        self._camera = rgb if rig is None else rig.rgb
        if self._depth is not None:
            # Pictures that are registered already show no parallax.
            raw = rig if self._registrar.level in ("depth", "plane") else None
            self._depth.set_cameras(self._camera, raw)

    @property
    def registration_counters(self) -> Counter[str]:
        """How pairs were registered (see Registrar)."""
        return self._registrar.counters

    def prepare(self, height: int, width: int) -> None:
        """Build and warm up the engine for RGB frames of this size, in pixels."""
        prepared = self._prepare(height, width)
        nothing = np.zeros(CODE_DIM, np.float32)
        prepared.run(np.zeros((height, width, 3), np.uint8), np.zeros((height, width), np.uint8), nothing)

    def process(self, pair: FramePair) -> Perception:
        """Fuse one pair.

        :class:`InputError` when a frame cannot be used, :class:`FrozenError` when the thermal camera repeats a frame
        and ``thermal.fuse_frozen`` is off; the next pair is not affected.
        """
        start = time.perf_counter()
        rgb = pair.rgb.image
        if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or min(rgb.shape[:2]) < SMALLEST:
            raise InputError(
                f"rgb frame: need H×W×3 uint8 of at least {SMALLEST} pixels a side, got {rgb.dtype} {rgb.shape}"
            )
        if pair.thermal.image.ndim != 2 or min(pair.thermal.image.shape) < SMALLEST:
            raise InputError(
                f"thermal frame: need H×W of at least {SMALLEST} pixels a side, got {pair.thermal.image.shape}"
            )
        height, width = rgb.shape[:2]
        prepared = self._prepare(height, width)
        begun = time.perf_counter()
        view = self._thermal(pair.thermal)
        if view.frozen and not self.config.thermal.fuse_frozen:
            raise FrozenError("the thermal camera repeats a frame; thermal.fuse_frozen is false")
        display, temperature = view.display, view.temperature_k
        seen: NDArray[np.uint8] | None = (
            None  # where the thermal camera saw anything, if that is not everywhere
        )
        luma: NDArray[np.uint8] | None = None
        if self._registrar.level != "none":
            luma = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)
            display, temperature, seen = self._register(luma, display, temperature)
        elif display.shape != (height, width):
            self._warn_size(display.shape, (height, width))
            display = self._fit(display, height, width)
            if temperature is not None:  # nearest, so that an invalid pixel stays one and spoils no other
                temperature = cv2.resize(temperature, (width, height), interpolation=cv2.INTER_NEAREST)  # type: ignore[assignment]
        told = display
        if view.empty:
            # The network would take an even grey for what is there, and hide behind it what the other camera sees.
            self._warn_empty()
            told = luma if luma is not None else np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)
            seen = np.zeros((height, width), np.uint8)
        sensed = time.perf_counter()
        outputs = prepared.run(rgb, told, self._guidance())
        fused = outputs["fused"]
        if seen is not None:
            fused = blend(fused, rgb, seen)
        done = time.perf_counter()
        perception = Perception(
            stamp_ns=pair.rgb.stamp_ns,
            frame_id=pair.rgb.frame_id,
            fused=fused,
            thermal=display,
            temperature_k=temperature,
            frozen=view.frozen,
            empty=view.empty,
            stage_ms={
                "prepare": (begun - start) * 1e3,
                "thermal": (sensed - begun) * 1e3,
                "engine": (done - sensed) * 1e3,
            },
        )
        named = self.wanted & {OBJECTS, CAPTION}
        measured = self.wanted & {DEPTH, POINTS} or named or self._registrar.level == "depth"
        looks = bool(measured) and self.config.objects.enabled
        found = detect(outputs, height, width, self.config.objects) if looks else []
        if self._depth is not None and measured:
            depth, sigma = (
                (outputs["depth"], outputs["sigma"]) if self._external is None else self._external(fused)
            )
            # A thermal picture that is of another moment, or shows nothing, says nothing about parallax.
            parallax = None if view.frozen or view.empty else view.display
            level = self.registration.get("level", "none")
            self._depth(perception, depth, sigma, luma, parallax, found, pair.world_from_camera, level)
            perception.stage_ms["depth"] = (time.perf_counter() - done) * 1e3
        if named:
            begun = time.perf_counter()
            heights = self.config.depth.object_heights
            place(perception, found, self._lens(height, width), heights=heights)
            perception.stage_ms["objects"] = (time.perf_counter() - begun) * 1e3
        return perception

    def _register(
        self, luma: NDArray[np.uint8], display: NDArray[np.uint8], temperature: NDArray[np.float32] | None
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32] | None, NDArray[np.uint8]]:
        """Thermal picture and temperature in the RGB frame, and where (H×W, 255: fully) they may be believed.

        Where the thermal camera saw nothing the network gets the visible luma for both, so that no border shows.
        """
        known = None if self._depth is None else self._depth.last_metres
        depth = None if known is None else enlarged(known, *luma.shape)
        registered = self._registrar(display, depth, luma)
        self.registration = {
            "level": registered.level, "confidence": registered.confidence, "drift_px": registered.drift_px,
        }  # fmt: skip
        if temperature is not None:
            temperature = self._registrar.also(temperature, nearest=True)
            temperature[registered.valid < FULLY] = np.nan
        image: NDArray[np.uint8] = registered.image
        if registered.valid.min() < FULLY:
            image = evened(image, luma, registered.valid)
        return image, temperature, registered.valid

    def _lens(self, height: int, width: int) -> CameraModel | None:
        camera = self._camera if self._depth is None else self._depth.camera_for(width, height)
        return camera if camera is not None and camera.size == (width, height) else None

    def _prepare(self, height: int, width: int) -> Prepared:
        key = padded(height, width, self.graph.stride)
        if key not in self._prepared:
            while len(self._prepared) >= ENGINES_KEPT:
                self._prepared.popitem(last=False)
            log.info("building the engine for %dx%d", key[1], key[0])
            self._prepared[key] = Prepared(self.graph, *key, self.config)
            self.engine_name = self._prepared[key].engine.name
            self.engine_refused = self._prepared[key].refused
        self._prepared.move_to_end(key)
        return self._prepared[key]

    def _fit(self, display: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
        if self._resized.shape != (height, width):
            self._resized = np.empty((height, width), np.uint8)
        shrinks = display.shape[0] > height
        cv2.resize(
            display,
            (width, height),
            dst=self._resized,
            interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR,
        )
        return self._resized

    def _warn_empty(self) -> None:
        if not self._empty_warned:
            self._empty_warned = True
            log.warning(SHOWS_NOTHING)

    def _warn_size(self, thermal: tuple[int, ...], rgb: tuple[int, ...]) -> None:
        self.counters["thermal_resized"] += 1
        if (*thermal, *rgb) not in self._sizes_warned:
            self._sizes_warned.add((*thermal, *rgb))
            log.warning(
                "thermal frames are %dx%d, RGB frames %dx%d: thermal is stretched to the RGB size, which fits only if "
                "both cameras see the same field",
                thermal[1], thermal[0], rgb[1], rgb[0],
            )  # fmt: skip
