import os
import signal
import subprocess
import sys
import time
from dataclasses import fields, replace

import numpy as np
import pytest

from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.simulation.dataset import DatasetSpec, Sample, SimulatedDataset

SPEC = DatasetSpec(count=4, per_world=2, width=64, height=48, worlds=("corridor",), seed=9, quality="live")


def _same(a: Sample, b: Sample) -> bool:
    for f in fields(Sample):
        x, y = getattr(a, f.name), getattr(b, f.name)
        if isinstance(x, np.ndarray):
            if not np.array_equal(x, y, equal_nan=x.dtype.kind == "f"):
                return False
        elif x != y:
            return False
    return True


def test_a_sample_is_the_same_rendered_alone_in_order_or_read_from_the_cache(tmp_path):
    fresh = list(SimulatedDataset(SPEC).samples())
    assert _same(SimulatedDataset(SPEC)[3], fresh[3])
    cached = SimulatedDataset(SPEC, tmp_path)
    assert _same(cached[2], fresh[2])
    stored = list(tmp_path.glob("*/*.npz"))
    assert len(stored) == 1
    before = stored[0].stat().st_mtime_ns
    assert _same(cached[2], fresh[2])
    assert stored[0].stat().st_mtime_ns == before
    assert not _same(fresh[0], fresh[1])


def test_a_damaged_cache_file_is_rendered_again(tmp_path):
    cached = SimulatedDataset(SPEC, tmp_path)
    whole = cached[0]
    (file,) = tmp_path.glob("*/*.npz")
    file.write_bytes(file.read_bytes()[:200])
    assert _same(SimulatedDataset(SPEC, tmp_path)[0], whole)


def test_on_a_full_disk_nothing_of_a_sample_is_left_and_the_remedy_is_told(tmp_path, full_disk):
    cached = SimulatedDataset(SPEC, tmp_path)
    with (
        full_disk(1000),
        pytest.raises(InputError, match=r"0000000\.npz: not written: File too large; make room"),
    ):
        cached[0]
    assert [file.name for file in cached.cache.iterdir()] == ["spec.json"]


def test_registered_pairs_share_one_geometry_and_raw_ones_do_not():
    pair = SimulatedDataset(SPEC)[0]
    assert pair.thermal_depth is pair.depth
    assert np.allclose(pair.thermal_from_rgb, np.eye(4))
    raw = SimulatedDataset(replace(SPEC, registered=False))[0]
    assert not np.array_equal(raw.depth, raw.thermal_depth, equal_nan=True)
    assert np.linalg.norm(raw.thermal_from_rgb[:3, 3]) == pytest.approx(0.1, abs=0.01)


def test_shapes_types_and_ranges():
    s = SimulatedDataset(SPEC)[1]
    assert s.rgb.shape == (48, 64, 3)
    assert s.counts.shape == s.depth.shape == s.instance.shape == (48, 64)
    assert (s.rgb.dtype, s.counts.dtype, s.depth.dtype) == (np.uint8, np.uint16, np.float32)
    assert np.nanmin(s.depth) > 0.05
    assert 240 < np.nanmedian(s.temperature_k) < 330
    assert {o.instance for o in s.objects} <= set(np.unique(s.instance).tolist())


def test_train_and_held_out_share_no_world():
    train, val = SimulatedDataset(SPEC), SimulatedDataset(replace(SPEC, split="val"))
    assert train[0].facts["seed"] < 1_000_000_000 <= val[0].facts["seed"]


def test_batches_are_stacked_and_shuffling_keeps_the_samples():
    dataset = SimulatedDataset(SPEC)
    plain = list(dataset.batches(2))
    assert [b["rgb"].shape for b in plain] == [(2, 48, 64, 3)] * 2
    mixed = list(dataset.batches(2, seed=1))
    both = [
        np.concatenate([b["counts"] for b in batches]).reshape(4, -1).sum(1) for batches in (plain, mixed)
    ]
    assert sorted(both[0].tolist()) == sorted(both[1].tolist())


def test_it_is_a_sequence():
    dataset = SimulatedDataset(SPEC)
    assert len(dataset) == 4
    assert _same(dataset[-1], dataset[3])
    assert len(dataset[1:3]) == 2
    with pytest.raises(IndexError):
        dataset[4]


@pytest.mark.slow
def test_workers_give_the_same_samples(tmp_path):
    alone = list(SimulatedDataset(SPEC).samples())
    for cache in (None, tmp_path):
        together = list(SimulatedDataset(SPEC, cache).samples(workers=2))
        assert all(_same(a, b) for a, b in zip(alone, together, strict=True))


RENDERING = """
import sys
from pathlib import Path
from thermal_fusion_ros.simulation.dataset import DatasetSpec, SimulatedDataset

spec = DatasetSpec(count=600, width=64, height=48, worlds=("corridor",), quality="live")
try:
    print("begun", flush=True)
    for sample in SimulatedDataset(spec, Path(sys.argv[1])).samples(workers=2):
        pass
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.slow
@pytest.mark.parametrize("rendering", [False, True], ids=["workers start", "workers render"])
def test_an_interrupt_ends_the_workers_soon_and_without_a_word(tmp_path, rendering):
    command = [sys.executable, "-c", RENDERING, str(tmp_path)]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a terminal's Ctrl-C goes to the whole group
    ) as process:
        assert process.stdout.readline() == "begun\n"
        deadline = time.monotonic() + 60
        while rendering and not list(tmp_path.glob("*/*.npz")) and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0 if rendering else 1.0)
        os.killpg(process.pid, signal.SIGINT)
        _, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (130, "")
    assert len(list(tmp_path.glob("*/*.npz"))) < 2 * DatasetSpec.per_world
    assert not list(tmp_path.glob("*/.*"))


@pytest.mark.parametrize(
    "wrong", [{"split": "test"}, {"worlds": ("moon",)}, {"conditions": ("rain",)}, {"count": 0}]
)
def test_a_wrong_specification_is_refused(wrong):
    with pytest.raises(InputError):
        replace(SPEC, **wrong)


def test_obstacles_stand_in_the_way_but_never_where_the_camera_is():
    plain = DatasetSpec(count=6, per_world=1, width=64, height=48, worlds=("corridor",), conditions=("day",))
    without, full = (SimulatedDataset(replace(plain, obstacles=o)) for o in (False, True))
    nearer = []
    for bare, cluttered in zip(without, full, strict=True):
        assert np.nanmin(cluttered.depth) > 0.3
        nearer.append(np.mean(cluttered.depth < 0.8 * bare.depth))
        assert {o.label for o in cluttered.objects} <= {o.label for o in bare.objects} | {"person"}
    assert max(nearer) > 0.01


def test_facing_it_stands_right_before_an_obstacle():
    spec = replace(
        SPEC, count=6, per_world=3, obstacles=True, worlds=("street",), conditions=("day",), seed=4
    )
    facing, anywhere = (
        [nearest(s) for s in SimulatedDataset(replace(spec, facing=f))] for f in (True, False)
    )
    assert np.median(facing) < 4.0
    assert np.median(facing) < np.median(anywhere) - 0.5
    with pytest.raises(InputError, match="obstacles"):
        replace(SPEC, facing=True)


def nearest(s):
    """Metres to what stands on the ground before the camera: in the middle half of its picture."""
    height, width = s.depth.shape
    y, x = np.mgrid[:height, width // 4 : width - width // 4]
    rays = np.stack([x - s.k[0, 2], y - s.k[1, 2], np.full(x.shape, s.k[0, 0])]) / s.k[0, 0]
    depth = s.depth[y, x]
    above = np.tensordot(s.base_from_rgb[2, :3], rays, 1) * depth + s.camera_height_m
    return np.nanpercentile(np.where((above > 0.15) & (above < 1.8), depth, np.nan), 3)


def test_from_above_people_are_in_the_middle_of_the_picture_and_seen_from_above():
    spec = replace(SPEC, count=6, per_world=3, raised=True, worlds=("street",), conditions=("day",), seed=4)
    samples = list(SimulatedDataset(spec))
    assert min(s.camera_height_m for s in samples) > 2.5
    assert min(np.arcsin(-s.base_from_rgb[2, 2]) for s in samples) > np.radians(8)  # looks down
    someone = [o for s in samples for o in s.objects if o.label in ("person", "bicycle", "car", "bus")]
    assert len(someone) >= 6
    again = SimulatedDataset(spec)[4]
    assert _same(again, samples[4])
