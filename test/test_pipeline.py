import logging
from types import SimpleNamespace

import numpy as np
import pytest

from thermal_fusion_ros.config import Config
from thermal_fusion_ros.errors import FrozenError, InputError
from thermal_fusion_ros.frames import FramePair, RgbFrame, ThermalFrame, ThermalKind
from thermal_fusion_ros.models.depth import native_size
from thermal_fusion_ros.pipeline import Pipeline, Prepared

H, W = 96, 128


def scene(height=H, width=W):
    y, x = np.mgrid[:height, :width]
    rgb = np.stack([x * 200 // width, y * 200 // height, (x + y) % 64 + 60], axis=-1).astype(np.uint8)
    thermal = (60 + 60 * (np.hypot(x - width // 2, y - height // 2) < height // 5)).astype(np.uint8)
    return rgb, thermal


def pair(rgb, thermal, kind=ThermalKind.AGC8, stamp=7):
    return FramePair(RgbFrame(stamp, rgb, "cam"), ThermalFrame(stamp + 1, thermal, kind, "heat"))


@pytest.fixture(scope="module")
def pipeline():
    return Pipeline(Config())


def test_a_pair_becomes_a_picture(pipeline):
    rgb, thermal = scene()
    result = pipeline.process(pair(rgb, thermal))
    assert (result.stamp_ns, result.frame_id) == (7, "cam")
    assert result.fused.shape == rgb.shape
    assert result.fused.dtype == np.uint8
    np.testing.assert_array_equal(result.thermal, thermal)
    assert result.temperature_k is None
    assert {"thermal", "engine"} <= set(result.stage_ms)
    assert pipeline.engine_name != "none yet"


def test_any_size_is_padded_and_cropped_without_a_trace(pipeline):
    """An odd-sized crop of a scene looks, away from its border, like the same place in the whole scene."""
    rgb, thermal = scene(160, 192)
    whole = pipeline.process(pair(rgb, thermal)).fused.copy()
    part = pipeline.process(
        pair(np.ascontiguousarray(rgb[:151, :173]), np.ascontiguousarray(thermal[:151, :173]))
    ).fused
    assert part.shape == (151, 173, 3)
    difference = np.abs(whole[:151, :173].astype(int) - part)
    assert difference.mean() < 6
    assert difference[-1].mean() < 16


@pytest.mark.parametrize(
    ("kind", "grey", "noise"),
    [(ThermalKind.AGC8, 255, 0), (ThermalKind.AGC8, 128, 0), (ThermalKind.COUNTS, 7300, 3)],
)
def test_a_thermal_frame_that_shows_nothing_hides_nothing(caplog, kind, grey, noise):
    pipeline = Pipeline(Config())
    rgb, thermal = scene()
    rng = np.random.default_rng(0)
    for stamp in (1, 2):
        flat = np.round(grey + rng.normal(0, noise, rgb.shape[:2]))
        blank = flat.astype(np.uint8 if kind is ThermalKind.AGC8 else np.uint16)
        result = pipeline.process(pair(rgb, blank, kind, stamp))
        assert result.empty
        np.testing.assert_array_equal(result.fused, rgb)
    assert pipeline.thermal_counters["empty"] == 2
    assert caplog.text.count("show nothing") == 1
    assert not pipeline.process(pair(rgb, thermal, stamp=3)).empty


def test_unequal_sizes_are_stretched_with_one_warning(caplog):
    pipeline = Pipeline(Config())
    rgb, _ = scene()
    _, thermal = scene(H // 2, W // 2)
    with caplog.at_level(logging.WARNING):
        results = [pipeline.process(pair(rgb, thermal)) for _ in range(3)]
    assert results[0].thermal.shape == (H, W)
    assert sum("stretched" in r.message for r in caplog.records) == 1
    assert pipeline.counters["thermal_resized"] == 3


@pytest.mark.parametrize(
    ("rgb", "thermal", "named"),
    [
        (np.zeros((0, 0, 3), np.uint8), np.zeros((H, W), np.uint8), "rgb frame"),
        (np.zeros((H, W), np.uint8), np.zeros((H, W), np.uint8), "rgb frame"),
        (np.zeros((H, W, 3), np.float32), np.zeros((H, W), np.uint8), "rgb frame"),
        (np.zeros((H, W, 3), np.uint8), np.zeros((0, W), np.uint8), "thermal frame"),
        (np.zeros((H, W, 3), np.uint8), np.zeros((H, W, 3), np.uint8), "thermal frame"),
    ],
)
def test_unusable_frames_are_named_and_do_no_harm(pipeline, rgb, thermal, named):
    with pytest.raises(InputError, match=named):
        pipeline.process(pair(rgb, thermal))
    assert pipeline.process(pair(*scene())).fused.shape == (H, W, 3)


def test_radiometric_temperature_is_kept_at_the_rgb_size():
    config = Config().with_values({"thermal.kind": "tlinear"})
    thermal = np.full((H // 2, W // 2), 29_315, np.uint16)  # 293.15 K at 0.01 K a step
    thermal[10:20, 10:20] = 30_615
    result = Pipeline(config).process(pair(scene()[0], thermal, ThermalKind.TLINEAR))
    assert result.temperature_k.shape == (H, W)
    assert result.temperature_k[0, 0] == pytest.approx(293.15, abs=0.01)
    assert result.temperature_k[30, 30] == pytest.approx(306.15, abs=0.01)


def test_prompt_changes_the_picture_and_a_bad_one_changes_nothing(pipeline):
    frames = pair(*scene())
    plain = pipeline.process(frames).fused.copy()
    pipeline.set_prompt("person")
    named = pipeline.process(frames).fused.copy()
    assert (plain != named).any()
    with pytest.raises(InputError, match="florble"):
        pipeline.set_prompt("florble")
    assert pipeline.prompt == "person"
    np.testing.assert_array_equal(pipeline.process(frames).fused, named)
    pipeline.update(pipeline.config.with_values({"fusion.prompt": "car"}))
    assert pipeline.prompt == "car"
    pipeline.set_prompt("")
    np.testing.assert_array_equal(pipeline.process(frames).fused, plain)


def test_unreadable_weights_and_prompts_are_refused_at_once(tmp_path):
    (tmp_path / "w.safetensors").write_bytes(b"not weights")
    with pytest.raises(InputError, match=r"w\.safetensors"):
        Pipeline(Config().with_values({"fusion.weights": str(tmp_path / "w.safetensors")}))
    with pytest.raises(InputError, match="florble"):
        Pipeline(Config().with_values({"fusion.prompt": "florble"}))


def test_frozen_thermal_frames_are_told_and_left_out_on_request():
    rgb, thermal = scene()
    pipeline = Pipeline(Config())
    flags = [pipeline.process(pair(rgb, thermal, stamp=k * 100_000_000)).frozen for k in range(6)]
    assert flags[0] is False
    assert flags[-1] is True
    pipeline.update(pipeline.config.with_values({"thermal.fuse_frozen": False}))
    with pytest.raises(FrozenError, match="fuse_frozen"):
        pipeline.process(pair(rgb, thermal, stamp=700_000_000))
    assert pipeline.thermal_counters["frozen"] >= 2
    assert pipeline.process(pair(rgb, 255 - thermal, stamp=800_000_000)).frozen is False


def test_a_prompt_can_be_checked_without_taking_effect(pipeline):
    pipeline.check_prompt("person")
    assert pipeline.prompt == ""
    with pytest.raises(InputError, match="florble"):
        pipeline.check_prompt("florble")


def test_a_given_matrix_moves_thermal_and_leaves_the_visible_alone_outside():
    """Thermal is 24 pixels off; the matrix brings it back, and beyond its edge the picture is the visible one."""
    rgb, thermal = scene()
    shifted = np.roll(thermal, -24, axis=1)
    config = Config().with_values({"registration.matrix": "1 0 24 0 1 0", "registration.level": "homography"})
    result = Pipeline(config).process(pair(rgb, shifted))
    # Near its end thermal is as bright as the visible picture (sensing/seam.py).
    np.testing.assert_allclose(result.thermal[:, 72:-8].astype(int), thermal[:, 72:-8], atol=2)
    np.testing.assert_array_equal(result.fused[:, :16], rgb[:, :16])
    assert np.abs(result.fused[:, 64:].astype(int) - rgb[:, 64:]).max() > 10


def test_temperature_is_registered_too_and_unknown_outside():
    config = Config().with_values(
        {"registration.matrix": "1 0 24 0 1 0", "registration.level": "homography", "thermal.kind": "tlinear"}
    )
    thermal = np.full((H, W), 29_315, np.uint16)
    thermal[40:50, 40:50] = 30_615
    result = Pipeline(config).process(pair(scene()[0], thermal, ThermalKind.TLINEAR))
    assert np.isnan(result.temperature_k[:, :16]).all()
    assert result.temperature_k[45, 69] == pytest.approx(306.15, abs=0.01)
    assert result.temperature_k[45, 45] == pytest.approx(293.15, abs=0.01)


def test_a_registration_that_lacks_what_it_needs_is_refused_at_once():
    with pytest.raises(InputError, match=r"registration\.matrix"):
        Pipeline(Config().with_values({"registration.level": "homography"}))


def test_guidance_from_outside_holds_where_no_prompt_of_known_words_does():
    frames, pipeline = pair(*scene()), Pipeline(Config())
    plain = pipeline.process(frames).fused.copy()
    asked = []

    def guidance():
        asked.append(1)
        return pipeline.vocabulary.code("person")

    pipeline.set_prompt("person")
    named = pipeline.process(frames).fused.copy()
    pipeline.guidance = guidance
    np.testing.assert_array_equal(pipeline.process(frames).fused, named)
    assert asked == []
    pipeline.set_prompt(" ")
    np.testing.assert_array_equal(pipeline.process(frames).fused, named)
    assert asked == [1]
    pipeline.guidance = lambda: np.zeros(64, np.float32)
    np.testing.assert_array_equal(pipeline.process(frames).fused, plain)


def test_prompts_of_other_words_are_encoded_at_once_or_left_to_the_language_worker(monkeypatch):
    """At once by a stand-in for the guide with CLIP, which knows unicorns."""
    from thermal_fusion_ros.language.guide import Thought

    config = Config().with_values({"language.clip_weights": "openai", "fusion.prompt": "a unicorn"})
    code = np.linspace(-1, 1, 64, dtype=np.float32)

    def make_guide(*_):
        def guide(job):
            known = job.prompt == "a unicorn"
            return Thought(job.prompt, code, refused="" if known else "not known", problem="no weights")

        return guide

    monkeypatch.setattr("thermal_fusion_ros.pipeline.make_guide", make_guide)
    frames, offline = pair(*scene()), Pipeline(config)
    named = offline.process(frames).fused.copy()
    with pytest.raises(InputError, match="not known; no weights"):
        offline.set_prompt("a griffin")
    assert offline.prompt == "a unicorn"
    monkeypatch.setattr("thermal_fusion_ros.pipeline.make_guide", None)  # may not be asked
    online = Pipeline(config, language_worker=True)
    online.check_prompt("a griffin")
    plain = online.process(frames).fused.copy()
    assert (plain != named).any()
    online.guidance = lambda: code
    np.testing.assert_array_equal(online.process(frames).fused, named)


class EvenDepth:
    """An engine that says that everything is one unit away."""

    name, exact = "even", True

    def run(self, rgb, thermal, code):
        return {"fused": rgb, "depth": np.ones(native_size(*thermal.shape), np.float32)}


def test_depth_is_in_the_unit_of_the_picture_and_not_of_the_padded_one(monkeypatch):
    monkeypatch.setattr("thermal_fusion_ros.pipeline.build", lambda *_: (EvenDepth(), []))
    prepared = Prepared(SimpleNamespace(), 352, 512, Config())
    rgb, thermal, code = (
        np.zeros((330, 500, 3), np.uint8),
        np.zeros((330, 500), np.uint8),
        np.zeros(64, np.float32),
    )
    np.testing.assert_allclose(prepared.run(rgb, thermal, code)["depth"], 500 / 512, rtol=1e-6)
