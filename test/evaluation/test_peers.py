"""Published methods' pictures, scored by our code, give the published numbers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from thermal_fusion_ros.evaluation.fusion_metrics import COMMON
from thermal_fusion_ros.evaluation.scoring import Scores, score_folders

METHODS = ("MMDRFuse", "SFDFusion")
TOLERANCE = 1e-3  # what the project promises; the file's own rounding is 5e-6


def scored(data: Path, method: str, work: Path, every: int) -> Scores:
    fused = work / method
    fused.mkdir()
    for path in sorted((data / "peers" / method).iterdir())[::every]:
        (fused / path.name).symlink_to(path)
    return score_folders(data / "val" / "vi", data / "val" / "ir", fused)


@pytest.mark.parametrize("method", METHODS)
def test_single_pictures_reproduce_the_published_numbers(
    shared_data: Path, tmp_path: Path, method: str
) -> None:
    published = json.loads((shared_data / "peers.json").read_text())["methods"][method]["per_image"]
    ours = scored(shared_data, method, tmp_path, every=9).per_image
    assert len(ours) == 12
    for name, values in ours.items():
        assert values == pytest.approx(published[name], abs=6e-6, rel=1e-6), name


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_means_over_the_whole_set_reproduce_the_published_ones(
    shared_data: Path, tmp_path: Path, method: str
) -> None:
    published = json.loads((shared_data / "peers.json").read_text())["methods"][method]["mean"]
    scores = scored(shared_data, method, tmp_path, every=1)
    assert len(scores.per_image) == 102
    assert set(scores.mean) == set(COMMON)
    assert scores.mean == pytest.approx(published, rel=TOLERANCE)
